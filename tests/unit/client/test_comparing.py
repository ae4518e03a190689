"""Full nodes held against each other: the liar is named, and two proven pasts are kept."""

from types import SimpleNamespace

import pytest
from msgspec.structs import replace as change

from probatum.client.comparing import compare_ledgers
from probatum.consensus.trusting import make_header_check
from probatum.errors import Fault, Refusal
from probatum.evidence.forks import check_fork
from probatum.protocol.commits import EngineTime
from probatum.protocol.messages import GetHeader, GetStatus, GotHeader
from tests.factories import LEDGER, make_chain, make_check, make_trust
from tests.light_chain import PERIOD_MS, LightChain, get_now_ms, make_voters

SETS = {0: make_voters(range(4)), 5: make_voters(range(2, 6)), 9: make_voters(range(4, 8))}
CHAIN = LightChain(SETS, length=14)
FORK = LightChain(SETS, length=14, branch=b"another past")
STRANGERS = LightChain({0: make_voters(range(20, 24))}, length=14)
NOW = get_now_ms(15)
TRUST = CHAIN.make_trust(0)


class Town:
    """Full nodes by address: each a chain (or a list of headers) and how far it is."""

    def __init__(self, **nodes):
        self.nodes = nodes
        self.asked = []

    def ask(self, endpoint, message):
        self.asked.append((endpoint, message.height))
        chain, at = self.nodes[endpoint]
        if chain is None:
            raise Fault("wire.unreachable", "nobody answers")
        if message.height > at:
            raise Refusal("full.no-such-height", "not kept")
        height = message.height or at
        signed = chain[height - 1] if isinstance(chain, list) else chain.sign(height)
        return GotHeader(header=signed)

    def compare(self, trust=TRUST, now_ms=NOW):
        found = compare_ledgers(tuple(self.nodes), self.ask, trust, now_ms)
        return found, {told.endpoint: told.standing for told in found.told}


class Forger(Town):
    """Its "b" shows a forged header under a true seal."""

    def ask(self, endpoint, message):
        reply = super().ask(endpoint, message)
        if endpoint != "b":
            return reply
        header = change(reply.header.header, state_root=bytes(32))
        return GotHeader(header=change(reply.header, header=header))


def test_honest_nodes_agree_at_the_lowest_height():
    town = Town(a=(CHAIN, 13), b=(CHAIN, 11), c=(CHAIN, 12))
    found, standings = town.compare()
    assert standings == dict.fromkeys("abc", "agrees")
    assert (found.height, found.fork) == (11, None)
    assert {told.common.header.height for told in found.told} == {11}


@pytest.mark.parametrize("trust", [TRUST, CHAIN.make_trust(8), CHAIN.make_trust(12)])
def test_who_shows_what_nobody_sealed_is_named(trust):
    found, standings = Town(a=(CHAIN, 13), b=(STRANGERS, 13)).compare(trust)
    assert standings == {"a": "agrees", "b": "lies"}
    assert found.fork is None
    liar = found.told[1]
    assert liar.code in {"light.too-little-trust", "light.other-next-validators"}
    assert liar.common is None


def test_a_forged_header_under_a_true_seal_is_a_lie():
    found, standings = Forger(a=(CHAIN, 13), b=(CHAIN, 13)).compare()
    assert standings == {"a": "agrees", "b": "lies"}
    assert found.told[1].code == "light.other-app-hash"


@pytest.mark.parametrize("signed_by_itself", [False, True])
def test_a_header_of_tomorrow_that_nobody_sealed_is_a_lie_and_says_nothing_of_the_clock(
    signed_by_itself,
):
    tomorrow = EngineTime(seconds=NOW // 1_000 + 86_400, nanos=0)

    class Forger(Town):
        def ask(self, endpoint, message):
            reply = super().ask(endpoint, message)
            if endpoint != "b":
                return reply
            height = reply.header.header.height
            if signed_by_itself:
                return GotHeader(header=STRANGERS.sign(height, time=tomorrow))
            seal = reply.header.seal
            seal = change(seal, header=change(seal.header, time=tomorrow))
            return GotHeader(header=change(reply.header, seal=seal))

    _, standings = Forger(a=(CHAIN, 13), b=(CHAIN, 13)).compare()
    assert standings == {"a": "agrees", "b": "lies"}


def test_a_clock_that_is_behind_is_nobodys_lie():
    with pytest.raises(Refusal) as refused:
        Town(a=(CHAIN, 13), b=(CHAIN, 13)).compare(now_ms=TRUST.time_ms)
    assert refused.value.code == "light.from-the-future"


def test_without_a_trust_file_a_true_seal_does_not_cover_another_header():
    _, standings = Forger(a=(CHAIN, 13), b=(CHAIN, 13)).compare(None)
    assert standings == {"a": "differs", "b": "differs"}


def test_a_lie_about_the_past_alone_is_found_too():
    class Forger(Town):
        def ask(self, endpoint, message):
            reply = super().ask(endpoint, message)
            if endpoint == "b" and message.height == 10:
                return GotHeader(header=STRANGERS.sign(10))
            return reply

    _, standings = Forger(a=(CHAIN, 10), b=(CHAIN, 13)).compare()
    assert standings == {"a": "agrees", "b": "lies"}


def test_two_proven_pasts_are_evidence_against_who_sealed_both():
    found, standings = Town(a=(CHAIN, 13), b=(FORK, 13), c=(CHAIN, 13)).compare()
    assert standings == dict.fromkeys("abc", "forked")
    check = make_header_check(CHAIN.make_trust(11), NOW)
    named = check_fork(found.fork, check)
    assert named == tuple(sorted(voter.address.hex() for voter in SETS[9]))


@pytest.mark.parametrize("trust", [TRUST, None])
def test_one_that_lags_does_not_keep_the_others_from_being_compared(trust):
    fork = LightChain(SETS, length=14, branch=b"another past", since=10)
    found, standings = Town(a=(CHAIN, 13), b=(fork, 12), c=(CHAIN, 9)).compare(trust)
    split = "forked" if trust else "differs"
    assert standings == {"a": split, "b": split, "c": "agrees"}
    assert found.height == 12
    assert [told.common is None for told in found.told] == [False, False, True]
    assert (found.fork is None) == (trust is None)


def test_a_lie_at_the_height_of_any_other_is_found():
    class Forger(Town):
        def ask(self, endpoint, message):
            reply = super().ask(endpoint, message)
            if (endpoint, message.height) == ("a", 11):
                return GotHeader(header=STRANGERS.sign(11))
            return reply

    found, standings = Forger(a=(CHAIN, 13), b=(CHAIN, 11), c=(CHAIN, 9)).compare()
    assert standings == {"a": "lies", "b": "agrees", "c": "agrees"}
    assert found.height == 9
    assert found.told[0].common is None


def test_all_that_was_believed_of_two_pasts_is_suspect():
    """Whoever skips far is misled by a header between: that one convicts, and not the last."""
    found, _ = Town(a=(CHAIN, 13), b=(FORK, 13)).compare()
    heights = [
        [one.header.height for one in found.suspects if one.header in chain.headers.values()]
        for chain in (CHAIN, FORK)
    ]
    assert heights[0] == heights[1]
    assert {6, 13} <= set(heights[0])


def test_the_same_state_under_two_blocks_of_the_engine_is_a_fork_too():
    other = SimpleNamespace(sign=lambda height: CHAIN.sign(height, data_hash=b"\1" * 32))
    found, standings = Town(a=(CHAIN, 13), b=(other, 13)).compare(CHAIN.make_trust(8))
    assert standings == dict.fromkeys("ab", "forked")
    assert len(check_fork(found.fork, make_header_check(CHAIN.make_trust(11), NOW))) == 4


def test_what_contradicts_the_trust_file_itself_is_suspect():
    found, standings = Town(a=(CHAIN, 13), b=(FORK, 8)).compare(CHAIN.make_trust(9))
    assert standings == {"a": "agrees", "b": "forked"}
    assert (found.fork, found.suspects) == (None, (FORK.sign(8),))
    assert found.told[1].code == "light.fork"


def test_a_key_that_signed_two_pasts_is_evidence_too():
    honest, other = make_chain(6), make_chain(6, fork=b"x")
    found, standings = Town(a=(honest, 6), b=(other, 5)).compare(make_trust(), 0)
    assert standings == dict.fromkeys("ab", "forked")
    assert check_fork(found.fork, make_check(make_trust())) == (LEDGER.key.hex(),)


def test_without_a_trust_file_nobody_is_named():
    found, standings = Town(a=(CHAIN, 13), b=(STRANGERS, 13)).compare(None)
    assert standings == {"a": "differs", "b": "differs"}, "the same header, sealed by others"
    assert found.suspects == ()
    found, standings = Town(a=(CHAIN, 13), b=(FORK, 13)).compare(None)
    assert standings == {"a": "differs", "b": "differs"}
    assert found.fork is None


def test_who_cannot_be_asked_is_no_liar():
    found, standings = Town(a=(CHAIN, 13), b=(None, 0)).compare()
    assert standings == {"a": "agrees", "b": "silent"}
    assert found.told[1].code == "wire.unreachable"
    found, standings = Town(a=(None, 0), b=(None, 0)).compare()
    assert (found.height, set(standings.values())) == (0, {"silent"})


def test_who_keeps_no_header_between_is_no_liar():
    class Pruned(Town):
        def ask(self, endpoint, message):
            if endpoint == "b" and message.height:
                raise Refusal("full.no-such-height", "not kept")
            return super().ask(endpoint, message)

    _, standings = Pruned(a=(CHAIN, 13), b=(CHAIN, 13)).compare()
    assert standings == {"a": "agrees", "b": "silent"}


def test_who_is_behind_the_trust_file_is_said_to_be():
    found, standings = Town(a=(CHAIN, 13), b=(CHAIN, 4)).compare(CHAIN.make_trust(12))
    assert standings == {"a": "agrees", "b": "behind"}
    assert found.height == 13


def test_an_old_trust_file_is_nobodys_lie():
    with pytest.raises(Refusal) as refused:
        Town(a=(CHAIN, 13), b=(CHAIN, 13)).compare(now_ms=TRUST.time_ms + PERIOD_MS)
    assert refused.value.code == "light.expired"


def test_another_answer_is_no_answer():
    def ask(endpoint, message):
        return GetStatus() if endpoint == "a" else GotHeader(header=CHAIN.sign(13))

    found = compare_ledgers(("a", "b"), ask, CHAIN.make_trust(12), NOW)
    assert [told.standing for told in found.told] == ["silent", "agrees"]

    def mix(endpoint, message):
        assert isinstance(message, GetHeader)
        return GotHeader(header=CHAIN.sign(13 if message.height == 0 else message.height - 1))

    found = compare_ledgers(("a", "b"), mix, TRUST, NOW)
    assert {told.code for told in found.told} == {"client.wrong-reply"}
