"""Headers of two pasts: one file for the same two, and reports until an engine has them convict."""

import asyncio

import pytest

from probatum.client.forks import keep_fork, report_headers
from probatum.errors import Fault
from probatum.evidence.forks import decode_fork, make_fork
from probatum.protocol.messages import GetStatus, Noted, Refused, ReportAttack
from tests.factories import make_chain
from tests.light_chain import LightChain, make_voters

FOUR = make_voters(range(4))
CHAIN, FORK = LightChain({0: FOUR}), LightChain({0: FOUR}, branch=b"another past")
OWN = Refused(code="light.own-header", message="nobody broke a rule")
NOT_YET = Refused(code="light.not-yet", message="wait", retryable=True)


def report(answers, headers, endpoints=("a",)):
    """What came of it, and what was asked: (endpoint, height) in order."""
    asked = []

    async def ask(endpoint, message):
        assert isinstance(message, ReportAttack)
        assert message.common == 3
        asked.append((endpoint, message.header.header.height))
        said = answers.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    told = asyncio.run(report_headers(ask, endpoints, headers, 3, pause_s=0.001))
    assert answers == []
    return [(one.endpoint, one.height, one.code) for one in told], asked


def test_evidence_is_kept_once(tmp_path):
    fork = make_fork(CHAIN.sign(6), FORK.sign(6))
    path = keep_fork(tmp_path, fork)
    assert keep_fork(tmp_path, make_fork(FORK.sign(6), CHAIN.sign(6))) == path
    assert list((tmp_path / "evidence").iterdir()) == [path]
    assert decode_fork(path.read_bytes()) == fork


def test_evidence_that_cannot_be_kept_is_said_to_be(tmp_path):
    (tmp_path / "evidence").write_bytes(b"")
    with pytest.raises(Fault) as failed:
        keep_fork(tmp_path, make_fork(CHAIN.sign(6), FORK.sign(6)))
    assert failed.value.code == "store.cannot-write"


def test_the_lowest_header_that_convicts_is_enough_for_each():
    headers = (FORK.sign(7), CHAIN.sign(6), CHAIN.sign(6), FORK.sign(5))
    told, asked = report([OWN, Noted(), Noted()], headers, ("a", "b"))
    assert asked == [("a", 5), ("a", 6), ("b", 5)]
    assert told == [("a", 5, "light.own-header"), ("a", 6, ""), ("b", 5, "")]


def test_a_height_that_is_not_decided_yet_is_waited_for():
    told, asked = report([NOT_YET, NOT_YET, Noted()], (FORK.sign(6),))
    assert told == [("a", 6, "")]
    assert len(asked) == 3
    told, asked = report([NOT_YET] * 10, (FORK.sign(6),))
    assert told == [("a", 6, "light.not-yet")]


def test_who_puts_off_each_header_is_not_waited_for_each_time():
    headers = tuple(FORK.sign(height) for height in range(3, 11))
    told, asked = report([*[NOT_YET] * 17, Noted()], headers, ("a", "b"))
    assert asked == [("a", 3)] * 10 + [("a", height) for height in range(4, 11)] + [("b", 3)]
    assert [code for _, _, code in told] == ["light.not-yet"] * 8 + [""]


def test_who_cannot_be_asked_keeps_nobody_from_asking_others():
    answers = [Fault("wire.unreachable", "gone"), GetStatus(), Noted()]
    told, _ = report(answers, (FORK.sign(6),), ("a", "b", "c"))
    assert [code for _, _, code in told] == ["wire.unreachable", "client.wrong-reply", ""]


def test_what_one_key_sealed_is_no_engines_to_judge():
    assert report([], make_chain(3)) == ([], [])
