"""What a node leaves behind that was shown two pasts (`LIGHT-1`)."""

import pytest

from probatum.errors import Fault
from probatum.evidence.forks import decode_fork, make_fork
from probatum.nodes.shell import witness
from probatum.protocol.messages import Noted
from probatum.protocol.trust import encode_trust
from tests.factories import make_chain, make_trust
from tests.light_chain import LightChain, make_voters

FOUR = make_voters(range(4))
CHAIN, FORK = LightChain({0: FOUR}), LightChain({0: FOUR}, branch=b"another past")
PAIR = (CHAIN.sign(6), FORK.sign(6))


@pytest.fixture
def bear(monkeypatch, tmp_path):
    """Bear witness with a full node that says what it is told; what was asked and reported."""

    class Transport:
        async def __aenter__(self):
            return self

        async def __aexit__(self, *_):
            pass

        async def ask(self, endpoint, message, timeout_s):
            bear.asked.append((endpoint, message.header, message.common))
            if isinstance(bear.says, Exception):
                raise bear.says
            return bear.says

    def bear(headers, trust=None):
        (tmp_path / "trust.json").write_bytes(encode_trust(trust or CHAIN.make_trust(4)))
        witness.bear_witness(tmp_path, "http://full:1", headers)
        return [report.code for report in bear.reports]

    bear.asked, bear.reports, bear.says = [], [], Noted()
    bear.folder = tmp_path / "evidence"
    monkeypatch.setattr(witness, "HttpTransport", Transport)
    monkeypatch.setattr(witness, "write_report", bear.reports.append)
    return bear


def test_two_headers_are_kept_and_reported(bear):
    assert bear(PAIR) == ["fork.kept", "fork.reported"]
    (path,) = bear.folder.iterdir()
    assert str(path) in bear.reports[0].message
    assert decode_fork(path.read_bytes()) == make_fork(*PAIR)
    assert bear.asked[0][0] == "http://full:1"
    assert bear.asked[0][2] == 4


def test_one_header_against_the_trust_file_is_reported(bear):
    assert bear(PAIR[1:]) == ["fork.reported"]
    assert bear.asked == [("http://full:1", PAIR[1], 4)]
    assert not bear.folder.exists()


def test_a_full_node_that_is_gone_takes_nothing_from_the_file(bear):
    bear.says = Fault("transport.unreachable", "gone")
    assert bear(PAIR) == ["fork.kept", "transport.unreachable", "transport.unreachable"]
    assert len(list(bear.folder.iterdir())) == 1


def test_two_pasts_of_one_key_are_kept_for_people(bear):
    headers = (make_chain(3)[2], make_chain(3, fork=b"x")[2])
    assert bear(headers, make_trust()) == ["fork.kept"]
    assert bear.asked == []


def test_a_full_disk_keeps_nobody_from_reporting(bear):
    bear.folder.write_bytes(b"")
    assert bear(PAIR) == ["store.cannot-write", "fork.reported"]
