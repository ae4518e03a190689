"""CometBFT's config.toml: what is needed is set, and a change leaves the rest as it was."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probatum.consensus.cometbft.settings import (
    EngineSettings,
    Peer,
    change_settings,
    make_settings,
    read_setting,
)
from probatum.errors import Refusal
from probatum.protocol import limits

PEERS = (Peer(id="aa" * 20, host="127.0.0.1", port=7), Peer(id="bb" * 20, host="10.0.0.2", port=8))
SETTINGS = EngineSettings(moniker="validator-1", p2p_port=41, rpc_port=42, peers=PEERS)
LONG = """\
# a comment with [brackets] and key = 1
proxy_app = "tcp://127.0.0.1:26658"   # where it is

  [rpc] # the section
laddr = "tcp://127.0.0.1:26657"
name = "a # b"  # real comment
# laddr = "never"
[p2p]
laddr = "tcp://0.0.0.0:26656"
keep-this = true
"""


def test_a_local_engine_has_what_was_measured_to_matter():
    made = tomllib.loads(make_settings(SETTINGS))
    assert made["proxy_app"] == "unix://abci.sock"
    assert made["rpc"]["laddr"] == "tcp://127.0.0.1:42"
    assert made["p2p"]["laddr"] == "tcp://127.0.0.1:41"
    assert made["p2p"]["persistent_peers"] == f"{'aa' * 20}@127.0.0.1:7,{'bb' * 20}@10.0.0.2:8"
    assert (made["p2p"]["pex"], made["p2p"]["addr_book_strict"]) == (False, False)
    assert made["p2p"]["allow_duplicate_ip"] is True
    assert made["consensus"]["timeout_commit"] == "1000ms"
    assert made["consensus"]["peer_gossip_sleep_duration"] == "10ms"
    assert made["consensus"]["create_empty_blocks"] is True
    assert made["mempool"]["cache_size"] >= 2 * made["mempool"]["size"]
    assert made["mempool"]["max_tx_bytes"] == limits.TRANSACTION_BYTES
    assert made["rpc"]["max_body_bytes"] > limits.TRANSACTION_BYTES * 4 // 3
    assert made["tx_index"]["indexer"] == "null"
    assert made["rpc"]["pprof_laddr"] == ""


def test_an_engine_among_strangers_listens_to_all_and_tells_where_it_is():
    far = EngineSettings(
        moniker="v", host="validator.example.org", p2p_port=26656, rpc_port=42, is_local=False
    )
    made = tomllib.loads(make_settings(far))
    assert made["p2p"]["laddr"] == "tcp://0.0.0.0:26656"
    assert made["p2p"]["external_address"] == "validator.example.org:26656"
    assert made["rpc"]["laddr"] == "tcp://127.0.0.1:42"
    assert made["p2p"]["pex"] is True
    assert "peer_gossip_sleep_duration" not in made["consensus"]


def test_a_change_leaves_the_rest_as_people_wrote_it():
    changed = change_settings(
        LONG,
        {
            ("", "proxy_app"): "unix://abci.sock",
            ("rpc", "laddr"): "tcp://127.0.0.1:9",
            ("rpc", "name"): "c",
            ("rpc", "fresh"): 3,
            ("p2p", "pex"): False,
            ("consensus", "timeout_commit"): "5s",
        },
    )
    expected = LONG.replace('"tcp://127.0.0.1:26658"   #', '"unix://abci.sock"  #')
    expected = expected.replace("127.0.0.1:26657", "127.0.0.1:9").replace('"a # b"', '"c"')
    expected = expected.replace("[p2p]", "fresh = 3\n[p2p]")
    expected += 'pex = false\n\n[consensus]\ntimeout_commit = "5s"\n'
    assert changed == expected
    assert change_settings(changed, {("p2p", "pex"): False}) == changed


def test_settings_are_read():
    assert read_setting(LONG, "", "proxy_app") == "tcp://127.0.0.1:26658"
    assert read_setting(LONG, "p2p", "keep-this") is True
    assert read_setting(LONG, "p2p", "absent") is None
    assert read_setting(LONG, "absent", "laddr") is None
    assert read_setting(LONG, "proxy_app", "x") is None


@pytest.mark.parametrize("text", ["= 1", "[rpc", 'a = "b\n', "a = 1\na = 2\n"])
def test_what_is_no_toml_is_refused(text):
    with pytest.raises(Refusal) as caught:
        read_setting(text, "", "a")
    assert caught.value.code == "engine.bad-config"


@pytest.mark.parametrize("value", ['a"b', "a\nb", "a\\b", "ü"])
def test_a_value_cannot_become_settings_of_its_own(value):
    with pytest.raises(Refusal):
        change_settings(LONG, {("", "moniker"): value})
    with pytest.raises(Refusal):
        make_settings(EngineSettings(moniker=value, p2p_port=1, rpc_port=2))


def test_a_text_that_cannot_be_changed_line_by_line_is_refused():
    with pytest.raises(Refusal) as caught:
        change_settings('a = """\nb = 1\n"""\nb = 2\n', {("", "b"): 3})
    assert caught.value.code == "engine.bad-config"


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["", "rpc", "p2p", "new"]), st.sampled_from("abcd")),
        st.integers(0, 9) | st.booleans() | st.text("xyz #[]=", max_size=5),
    )
)
def test_what_was_changed_is_read(changes):
    text = change_settings(LONG, changes)
    for (section, key), value in changes.items():
        assert read_setting(text, section, key) == value
    assert read_setting(text, "p2p", "keep-this") is True
