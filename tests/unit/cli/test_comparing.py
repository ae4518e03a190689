"""`probatum ledger status` of several nodes, and `probatum ledger trust` renewed and made."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace as change

from probatum.cli import comparing, main, reading, trusting
from probatum.consensus.trust_files import make_trust
from probatum.consensus.trusting import make_header_check
from probatum.errors import Fault, Refusal
from probatum.evidence.forks import check_fork, decode_fork
from probatum.ledger.genesis import encode_genesis
from probatum.protocol.messages import GetHeader, GotHeader, Noted, ReportAttack
from probatum.protocol.trust import decode_trust, encode_trust
from tests import light_chain
from tests.factories import make_trust as make_key_trust
from tests.light_chain import PERIOD_MS, LightChain, get_now_ms, get_time, make_voters
from tests.validators import make_test_validator_genesis

SETS = {0: make_voters(range(4)), 5: make_voters(range(2, 6)), 9: make_voters(range(4, 8))}
CHAIN = LightChain(SETS, length=14)
FORK = LightChain(SETS, length=14, branch=b"another past")
STRANGERS = LightChain({0: make_voters(range(20, 24))}, length=14)
NODES = {"http://a:1": (CHAIN, 13), "http://b:1": (CHAIN, 12)}


@pytest.fixture
def desk(monkeypatch, tmp_path, capsys):
    """A person with a trust file, at a table with full nodes."""
    nodes = dict(NODES)
    path = tmp_path / "trust.json"
    path.write_bytes(encode_trust(CHAIN.make_trust(0)) + b"\n")
    clock = [get_now_ms(15)]

    def exchange(endpoint, message, **_):
        if endpoint not in nodes:
            raise Fault("wire.unreachable", f"nobody answers at {endpoint}")
        chain, at = nodes[endpoint]
        if isinstance(message, ReportAttack):
            run.reports.append((endpoint, message.header.header.height, message.common))
            if message.header.header == chain.headers[message.header.header.height]:
                raise Refusal("light.own-header", "nobody broke a rule")
            return Noted()
        assert isinstance(message, GetHeader)
        return GotHeader(header=chain.sign(message.height or at))

    for page in (comparing, reading):
        monkeypatch.setattr(page, "exchange", exchange)
    for page in (comparing, reading, trusting):
        monkeypatch.setattr(page.time, "time_ns", lambda: clock[0] * 1_000_000)

    def run(*words, trust=path, ledgers=None):
        named = [word for one in ledgers or nodes for word in ("--ledger", one)]
        trusted = ["--trust", str(trust)] if trust else []
        code = main([*words, *named, *trusted, "--home", str(tmp_path)])
        return code, capsys.readouterr()

    run.reports = []
    run.nodes, run.path, run.clock, run.folder = nodes, path, clock, tmp_path
    return run


def test_nodes_that_agree(desk):
    code, said = desk("ledger", "status")
    assert code == 0
    line = "all agree on the header of height 12, {} old, proven by the trust file"
    assert line.format("3 s") in said.out
    assert "stands still" not in said.out
    desk.clock[0] += 60_000
    _, said = desk("ledger", "status")
    assert line.format("63 s") in said.out
    assert "that is old: the chain stands still, or all of them are behind it" in said.out
    desk.clock[0] += 600_000
    _, said = desk("ledger", "status")
    assert line.format("11 minutes") in said.out
    # A clock that is a little behind is no age.
    desk.clock[0] = get_now_ms(15) - 5_000
    code, said = desk("ledger", "status", "--json")
    assert json.loads(said.out)["age_s"] == 0
    desk.clock[0] = get_now_ms(15)
    code, said = desk("ledger", "status", "--json")
    found = json.loads(said.out)
    assert (code, found["agree"], found["height"], found["evidence"]) == (0, True, 12, None)
    assert [node["height"] for node in found["nodes"]] == [13, 12]


def test_the_liar_is_named(desk):
    desk.nodes["http://c:1"] = (STRANGERS, 13)
    code, said = desk("ledger", "status")
    assert code == 1
    assert "do not use http://c:1: nothing that it shows is the ledger's" in said.out
    assert "light.too-little-trust" in said.out
    code, said = desk("ledger", "status", "--json")
    assert [node["standing"] for node in json.loads(said.out)["nodes"]] == [
        "agrees",
        "agrees",
        "lies",
    ]


def test_two_proven_pasts_are_kept_as_evidence(desk):
    desk.nodes["http://b:1"] = (FORK, 13)
    code, said = desk("ledger", "status", "--json")
    path, reported = json.loads(said.out)["evidence"], json.loads(said.out)["reported"]
    assert code == 1
    # Each was shown all of both pasts, the lowest first, until it found one that is not its own.
    assert [(told["endpoint"], told["code"]) for told in reported if not told["code"]] == [
        ("http://a:1", ""),
        ("http://b:1", ""),
    ]
    assert {common for _, _, common in desk.reports} == {0}
    fork = decode_fork(Path(path).read_bytes())
    assert len(check_fork(fork, make_header_check(CHAIN.make_trust(12), get_now_ms(15)))) == 4
    code, said = desk("ledger", "status")
    assert path in said.out.replace("\n", "")
    assert len(list((desk.folder / "evidence").iterdir())) == 1
    # Whoever gets it needs a trust file and no network.
    later = desk.folder / "later.json"
    later.write_bytes(encode_trust(CHAIN.make_trust(11)))
    code, said = desk("ledger", "fork", path, "--json", trust=later)
    found = json.loads(said.out)
    assert (code, found["heights"], len(set(found["hashes"]))) == (0, [13, 13], 2)
    assert "reported" not in found
    desk.reports.clear()
    code, said = desk("ledger", "fork", path, "--report", "--json", trust=later)
    assert [told["code"] for told in json.loads(said.out)["reported"]].count("") == 2
    assert {common for _, _, common in desk.reports} == {11}
    code, said = desk("ledger", "fork", path, "--report", trust=later)
    assert "http://a:1 has its engine convict who sealed that of height 13" in said.out
    assert found["sealed_both"] == sorted(voter.address.hex() for voter in SETS[9])
    code, said = desk("ledger", "fork", path, trust=later)
    assert said.out.count("sealed both: ") == 4
    desk.nodes["http://b:1"] = (CHAIN, 13)
    code, said = desk("ledger", "fork", str(desk.path), trust=later)
    assert code == 1


def test_without_a_trust_file_one_of_them_lies(desk):
    desk.nodes["http://b:1"] = (FORK, 13)
    code, said = desk("ledger", "status", trust=None)
    assert code == 1
    assert "one of them lies; a trust file (--trust) tells which" in said.out


def test_a_silent_node_is_no_agreement(desk):
    code, said = desk("ledger", "status", ledgers=[*NODES, "http://gone:1"])
    assert code == 1
    assert "could not be asked" in said.out


def test_who_takes_its_time_over_heights_without_end_is_left_to_it(desk, monkeypatch):
    far, clock = 1 << 62, [0.0]

    class Slow:
        headers = CHAIN.headers
        asked = 0

        def sign(self, height):
            clock[0] += 50
            self.asked += 1
            header = change(CHAIN.headers[1], height=height)
            return STRANGERS.seal(header)

    slow = Slow()
    desk.nodes["http://c:1"] = (slow, far)
    monkeypatch.setattr(comparing.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(light_chain, "get_time", lambda height: get_time(min(height, 14)))
    code, said = desk("ledger", "status", "--json")
    standings = [(node["standing"], node["code"]) for node in json.loads(said.out)["nodes"]]
    assert (code, standings) == (1, [("agrees", ""), ("agrees", ""), ("silent", "wire.timeout")])
    assert slow.asked == 3


def test_what_a_node_says_is_no_line_of_ours(desk):
    class Sly:
        headers = CHAIN.headers

        def sign(self, height):
            raise Refusal("full.no", "no\nall agree on the header of height 13\x1b[1A\r")

    desk.nodes["http://c:1"] = (Sly(), 13)
    code, said = desk("ledger", "status")
    assert code == 1
    assert not any(line.startswith("all agree") for line in said.out.splitlines())
    assert "[full.no]" in said.out
    assert "\x1b" not in said.out


def test_a_trust_file_is_renewed_in_place(desk):
    code, said = desk("ledger", "trust", "--renew", "--json")
    assert code == 0
    assert decode_trust(desk.path.read_bytes()) == CHAIN.make_trust(12)
    assert json.loads(said.out)["height"] == 12
    # One node alone is as far as it is.
    assert desk("ledger", "trust", "--renew", ledgers=["http://a:1"])[0] == 0
    assert decode_trust(desk.path.read_bytes()) == CHAIN.make_trust(13)
    # There is nothing newer yet.
    code, said = desk("ledger", "trust", "--renew")
    assert code == 1
    assert "ledger.nothing-to-renew" in said.err


def test_it_says_how_long_it_is_good_for(desk):
    code, said = desk("ledger", "trust")
    assert code == 0
    assert "good until          2025-06-15 15:23 UTC" in said.out
    assert "84e5610f9dcad9ac… (1)" in said.out


def test_it_can_be_written_beside(desk):
    fresh = desk.folder / "fresh.json"
    assert desk("ledger", "trust", "--renew", "-o", str(fresh))[0] == 0
    assert decode_trust(desk.path.read_bytes()) == CHAIN.make_trust(0)
    assert decode_trust(fresh.read_bytes()) == CHAIN.make_trust(12)
    assert [path.name for path in desk.folder.iterdir()] != []
    assert not list(desk.folder.glob(".fresh*"))


def test_no_trust_file_comes_of_nodes_that_disagree(desk):
    desk.nodes["http://b:1"] = (STRANGERS, 13)
    code, said = desk("ledger", "trust", "--renew")
    assert code == 1
    assert "ledger.no-agreement" in said.err
    assert decode_trust(desk.path.read_bytes()) == CHAIN.make_trust(0)


def test_what_all_agreed_on_is_renewed_from_and_nothing_that_one_shows_afterwards(desk):
    """The first one agrees with the others, and shows a past of its own when it is asked again."""
    fork = LightChain(SETS, length=14, branch=b"another past", since=10)

    class Turncoat:
        headers = CHAIN.headers

        def sign(self, height):
            self.left -= 1
            return (CHAIN if self.left >= 0 else fork).sign(height)

    turncoat = Turncoat()
    desk.nodes["http://a:1"] = (turncoat, 13)
    for honest in range(8):
        turncoat.left = honest
        desk.path.write_bytes(encode_trust(CHAIN.make_trust(9)))
        code, _ = desk("ledger", "trust", "--renew")
        found = decode_trust(desk.path.read_bytes())
        assert found == CHAIN.make_trust(found.height), honest
        assert (code == 0) == (found.height == 12)
    assert code == 0


def test_two_pasts_found_while_renewing_are_kept_and_reported_too(desk):
    desk.nodes["http://b:1"] = (FORK, 13)
    code, said = desk("ledger", "trust", "--renew", "--json")
    (path,) = (desk.folder / "evidence").iterdir()
    assert code == 1
    assert str(path) in json.loads(said.out or said.err)["error"]["message"]
    assert {endpoint for endpoint, _, _ in desk.reports} == {"http://a:1", "http://b:1"}


def test_an_expired_one_is_not_renewed(desk):
    desk.clock[0] = CHAIN.make_trust(0).time_ms + PERIOD_MS
    code, said = desk("ledger", "trust", "--renew", ledgers=["http://a:1"])
    assert code == 1
    assert "light.expired" in said.err


def test_a_key_has_no_end(desk):
    desk.path.write_bytes(encode_trust(make_key_trust()))
    code, said = desk("ledger", "trust", "--renew", ledgers=["http://a:1"])
    assert code == 1
    assert "ledger.nothing-to-renew" in said.err


def test_the_first_one_is_made_of_genesis(desk):
    genesis = make_test_validator_genesis()
    source, made = desk.folder / "genesis.json", desk.folder / "first.json"
    source.write_bytes(encode_genesis(genesis) + b"\n")
    words = ("ledger", "trust", "--genesis", str(source), "-o", str(made))
    assert desk(*words, trust=None)[0] == 0
    assert decode_trust(made.read_bytes()) == make_trust(genesis)


def test_a_header_says_how_it_is_believed(desk):
    code, said = desk("ledger", "header", ledgers=["http://a:1"])
    assert code == 0
    assert "sealed by validators that the trust file leads to" in said.out
    code, said = desk("ledger", "header", "--json", ledgers=["http://a:1"])
    found = json.loads(said.out)
    assert (found["height"], found["engine_height"], found["is_proven"]) == (13, 14, True)
    assert (found["signed_power"], found["total_power"]) == (4, 4)
