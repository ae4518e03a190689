"""The witness remembers what was said and notices what contradicts it."""

from __future__ import annotations

from probatum.protocol.headers import Header, KeySeal, SignedHeader
from probatum.protocol.messages import GotBundle, GotHeader
from probatum.storm.trace import Trace
from probatum.storm.witness import Witness


def make_header(height, root=bytes(32)):
    digest = bytes(32)
    header = Header(
        chain_id=1,
        genesis_hash=digest,
        height=height,
        previous=digest,
        state_root=root,
        transactions_root=digest,
        results_root=digest,
        time_ms=height,
    )
    return SignedHeader(header=header, seal=KeySeal(key=bytes(32), signature=bytes(64)))


def hear(*messages):
    witness = Witness(Trace())
    for message in messages:
        witness.hear("full", "node", message)
    return witness


def test_headers_are_remembered_by_height():
    witness = hear(GotHeader(header=make_header(3)), GotHeader(header=make_header(2)))
    assert sorted(witness.headers) == [2, 3]
    assert witness.height == 3
    assert witness.trace.findings == []


def test_two_headers_of_one_height_are_a_finding():
    witness = hear(
        GotHeader(header=make_header(3)), GotHeader(header=make_header(3, root=b"\x01" * 32))
    )
    assert [f.code for f in witness.trace.findings] == ["witness.two-headers"]


def test_a_bundle_that_is_none_is_a_finding_once():
    bad = GotBundle(settled=True, bundle=b"{}")
    witness = hear(bad, bad)
    assert [f.code for f in witness.trace.findings] == ["witness.bad-bundle"]
