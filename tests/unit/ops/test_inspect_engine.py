"""An engine's inspection: files, moving time, and the others' header for the same height."""

from __future__ import annotations

import asyncio
import json
import shutil
from itertools import count

import pytest

from probatum.errors import Fault, Refusal
from probatum.ops import inspect_engine as engines
from probatum.ops.cometbft import VARIABLE
from probatum.ops.engine_homes import load_validator_key
from probatum.ops.folder import NetworkPlan, open_folder
from probatum.ops.inspect_engine import inspect_agreement, inspect_engine
from probatum.ops.inspect_home import inspect_home
from probatum.ops.kept_tip import KeptTip
from probatum.ops.supervising import LastBlock
from probatum.protocol.commits import EngineTime
from probatum.protocol.headers import compute_header_hash
from probatum.protocol.messages import GotHeader, Refused
from tests.factories import make_chain, make_trust
from tests.light_chain import PERIOD_MS, LightChain, make_voters


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere"))
    monkeypatch.setattr(engines, "_MOVING_S", 0.3)
    monkeypatch.setattr(engines, "_POLL_S", 0.01)
    network = open_folder(tmp_path / "network", NetworkPlan(nodes=1, validators=2))
    network.close()
    path = network.get_home("validator-1") / "engine/config/config.toml"
    path.write_text(path.read_text().replace("127.0.0.1:0", "127.0.0.1:9"))
    return network.get_home("validator-1")


def by_check(findings):
    return {row.check: row for row in findings}


def test_a_sound_engine_that_moves_is_well(home, monkeypatch):
    heights = count(5)

    def say(_port, **_):
        height = next(heights)
        return LastBlock(height=height, time_ms=1_000 * height)

    monkeypatch.setattr(engines, "read_status", say)
    rows = by_check(inspect_engine(home))
    assert rows["cometbft"].status == "fail", "there is none in this test"
    assert rows["engine files"].status == "ok"
    assert rows["block time"].status == "ok"
    assert "from height 5 to 6" in rows["block time"].detail


def test_an_engine_that_answers_and_stands_still_is_not_well(home, monkeypatch):
    monkeypatch.setattr(engines, "read_status", lambda _, **__: LastBlock(height=7, time_ms=1))
    row = by_check(inspect_engine(home))["block time"]
    assert row.status == "fail"
    assert "still at height 7" in row.detail
    assert "halted chain" in row.advice
    for peers_height, is_alone in ((9, False), (None, True)):
        monkeypatch.setattr(engines, "read_peers_height", lambda _, said=peers_height: said)
        row = by_check(inspect_engine(home))["block time"]
        assert ("it has no peers" in row.detail) == is_alone
        assert ("persistent_peers" in row.advice) == is_alone


def test_another_engine_at_its_port_is_told(home, monkeypatch):
    key = load_validator_key(home).key

    def say(_port, *, key):
        asked.append(key)
        raise Fault("engine.another", "the engine that answers at port 9 has another key")

    asked = []
    monkeypatch.setattr(engines, "read_status", say)
    row = by_check(inspect_engine(home))["block time"]
    assert (row.status, asked) == ("fail", [key])
    assert "engine.another" in row.detail
    assert "end the other" in row.advice


def test_an_engine_that_does_not_run_is_told(home):
    row = by_check(inspect_engine(home))["block time"]
    assert row.status == "fail"
    assert "engine.unreachable" in row.detail
    assert "start it" in row.advice


@pytest.mark.parametrize("where", ["home", "network"])
def test_why_an_engine_is_tried_in_vain_is_said(home, where):
    folder, name = (
        (home / "logs", "node") if where == "home" else (home.parents[1] / "logs", home.name)
    )
    folder.mkdir(exist_ok=True)
    app, engine = folder / f"{name}.jsonl", folder / f"{name}-engine.jsonl"
    other = {"level": "error", "code": "store.other-chain", "message": "the store holds another"}
    for log, last, is_told in (
        (app, json.dumps(other), "error: store.other-chain: the store holds another"),
        (app, json.dumps({**other, "level": "info"}), ""),
        (engine, "ERROR: failed to start node: address already in use", "ERROR: failed to start"),
        (engine, '{"_msg":"Error serving server","level":"error"}', ""),
        (engine, "panic: cannot\n\ngoroutine 1:\nmain.go", "panic: cannot"),
    ):
        with log.open("a") as file:
            file.write(last + "\n")
        said = by_check(inspect_engine(home))["block time"].detail
        assert "engine.unreachable" in said
        assert (f"{log} ends with {is_told}" in said) if is_told else " ends with " not in said


def test_a_validator_needs_no_operating_key(home):
    key = home / "keys" / "operating.json"
    assert by_check(inspect_home(home)[1])["keys"].detail.startswith("operating key")
    key.unlink()
    row = by_check(inspect_home(home)[1])["keys"]
    assert (row.status, "none is needed" in row.detail) == ("ok", True)
    shutil.rmtree(home / "engine")
    assert by_check(inspect_home(home)[1])["keys"].status == "fail", "alone it signs with it"


def test_keys_that_others_may_read_and_a_foreign_genesis_are_told(home):
    path = home / "engine/config/priv_validator_key.json"
    path.chmod(0o644)
    assert "loose-permissions" in by_check(inspect_engine(home))["engine files"].detail
    path.chmod(0o600)
    (home / "engine/config/genesis.json").write_text("{}")
    row = by_check(inspect_engine(home))["engine files"]
    assert (row.status, "other-engine-genesis" in row.detail) == ("fail", True)


class Other:
    """Another full node, of the chain of tests."""

    def __init__(self):
        self.header = make_chain(3)[-1]
        self.refusals = 0

    async def converse(self, endpoint, message, timeout_s):
        if self.refusals:
            self.refusals -= 1
            yield Refused(code="ledger.not-there", message="not yet", hint="")
            return
        yield GotHeader(header=self.header)

    def get_own_hash(self):
        return compute_header_hash(self.header.header)


def inspect(home, monkeypatch, other, state):
    def say(_home):
        if isinstance(state, Exception):
            raise state
        return state

    monkeypatch.setattr(engines, "read_kept_tip", say)
    (row,) = asyncio.run(inspect_agreement(other.converse, home, "http://other", make_trust()))
    return row


def test_a_node_that_computed_what_the_others_prove_agrees(home, monkeypatch):
    other = Other()
    other.refusals = 3  # it proves a height one block later
    state = KeptTip(height=other.header.header.height, header_hash=other.get_own_hash())
    row = inspect(home, monkeypatch, other, state)
    assert row.status == "ok", row


def test_a_node_that_computed_another_hash_is_named_as_diverged(home, monkeypatch):
    other = Other()
    state = KeptTip(height=other.header.header.height, header_hash=bytes(32))
    row = inspect(home, monkeypatch, other, state)
    assert row.status == "fail"
    assert "DIVERGED" in row.detail
    assert "diverged node" in row.advice


def test_what_cannot_be_held_to_anything_is_no_verdict(home, monkeypatch):
    other = Other()
    height = other.header.header.height
    ours = KeptTip(height=height, header_hash=bytes(32))
    assert inspect(home, monkeypatch, other, KeptTip(height=0, header_hash=b"")).status == "skip"
    assert inspect(home, monkeypatch, other, Fault("store.unreadable", "x")).status == "skip"
    other.refusals = 1_000_000
    assert inspect(home, monkeypatch, other, ours).status == "warn"
    other.refusals = 0
    later = KeptTip(height=height + 1, header_hash=bytes(32))
    assert inspect(home, monkeypatch, other, later).status == "warn", "another height's header"


def test_a_header_that_is_not_proven_convicts_nobody(home, monkeypatch):
    other = Other()
    state = KeptTip(height=other.header.header.height, header_hash=bytes(32))

    def refuse(*_):
        raise Refusal("trust.other-key", "no")

    monkeypatch.setattr(engines, "check_next", refuse)
    assert inspect(home, monkeypatch, other, state).status == "warn"


def test_a_trust_file_of_long_ago_is_led_on_by_what_the_node_has_sealed(home, monkeypatch):
    chain = LightChain({0: make_voters(range(4))}, length=12)
    later = LightChain({0: make_voters(range(4))}, length=12)
    now_ms = chain.make_trust(0).time_ms + PERIOD_MS + 5_000
    # A block after the period is over: the file alone leads nowhere any more.
    late = EngineTime(seconds=now_ms // 1_000, nanos=0)
    other = Other()
    other.header = chain.sign(9, time=late)
    sealed = later.sign(8, time=EngineTime(seconds=late.seconds - 1, nanos=0))
    monkeypatch.setattr(engines.time, "time_ns", lambda: now_ms * 1_000_000)
    for seen, status in ((sealed, "ok"), (None, "warn")):
        tip = KeptTip(height=9, header_hash=other.get_own_hash(), sealed=seen)
        monkeypatch.setattr(engines, "read_kept_tip", lambda _, tip=tip: tip)
        asked = inspect_agreement(other.converse, home, "http://other", chain.make_trust(0))
        (row,) = asyncio.run(asked)
        assert row.status == status, row
        assert ("light.expired" in row.detail) == (seen is None)
