"""Properties of evidence: blame accuses at most one party that signed; decoders only refuse."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from probatum.errors import Refusal
from probatum.evidence.blame import assign_blame, assign_blame_to_records
from probatum.evidence.receipt import check_bundle, check_pending
from probatum.evidence.routing import Health, rank_offers
from probatum.protocol.hashing import sha256
from tests.factories import (
    GATEWAY,
    NODES,
    make_bundle,
    make_check,
    make_node_record,
    make_offer,
    make_trust,
)

CHECK = make_check(make_trust())
GOOD = make_bundle().data

acknowledgements = st.lists(st.booleans(), min_size=1, max_size=4)
heights = st.integers(0, 70)


def tree(acknowledged):
    return tuple(zip(NODES, acknowledged, strict=False))


@given(acknowledgements, heights, st.booleans())
def test_blame_names_at_most_one_party_and_only_one_that_signed(acknowledged, height, failed):
    """`CUSTODY-1`: what was never acknowledged moves no duty."""
    failed = failed or not any(acknowledged)
    answered = None if failed else acknowledged.index(True)
    made = make_bundle(tree(acknowledged), answered, failed=failed, settled=False)
    blame = assign_blame(made.bundle, height)
    signed = [node.party for node, did in tree(acknowledged) if did]
    assert (blame.party is not None) == (blame.status in {"covered", "lost"})
    assert blame.party is None or blame.party in signed
    assert blame.status not in ({"kept", "covered"} if failed else {"lost", "undetermined"})
    if answered is not None:
        assert blame.party != NODES[answered].party, "who answered is not accused"
    later = assign_blame(made.bundle, height + 1)
    if blame.status != "open":
        assert later.status in {blame.status, "covered"}, "a verdict of failure is final"


@given(acknowledgements, heights)
def test_without_a_release_only_the_gateway_is_ever_accused(acknowledged, height):
    custody = make_bundle(tree(acknowledged), failed=True).bundle.custody
    blame = assign_blame_to_records(custody, height)
    assert blame.party is None or blame.party == GATEWAY.party


@given(st.binary(max_size=400))
def test_bytes_from_anywhere_are_refused(data):
    for check in (check_pending, lambda d: check_bundle(d, CHECK), lambda d: assign_blame(d, 1)):
        try:
            check(data)
        except Refusal:
            continue
        raise AssertionError("random bytes passed for a bundle")


@given(st.integers(0, len(GOOD)), st.integers(0, 40), st.binary(max_size=40))
def test_a_bundle_with_a_piece_replaced_is_refused_or_the_same(at, length, piece):
    data = GOOD[:at] + piece + GOOD[at + length :]
    try:
        check_bundle(data, CHECK)
    except Refusal:
        assert data != GOOD
    else:
        assert data == GOOD


measured = st.builds(
    Health,
    latency_ms=st.integers(0, 5_000),
    failures=st.integers(0, 20),
    inflight=st.integers(0, 64),
)


@given(st.permutations(NODES), st.lists(measured, min_size=4, max_size=4), st.binary(max_size=8))
def test_ranking_depends_on_what_is_known_and_not_on_its_order(order, seen, seed):
    def rank(nodes):
        return rank_offers(
            tuple(make_offer(node, price_units=node.seed % 2) for node in nodes),
            {node.account: make_node_record(node) for node in nodes},
            health={n.account: health for n, health in zip(NODES, seen, strict=True)},
            height=41,
            request_digest=sha256(seed),
        )

    ranked = rank(order)
    assert ranked == rank(NODES)
    assert len(ranked) == len(NODES)
    assert [offer.price_units for offer in ranked] == [0, 0, 1, 1]
    without_first = [node for node in NODES if node.account != ranked[0].operator]
    assert rank(without_first) == ranked[1:], "who is gone does not reorder the others"


def test_the_lot_shares_the_work_evenly():
    offers = tuple(make_offer(node) for node in NODES)
    nodes = {node.account: make_node_record(node) for node in NODES}
    firsts = Counter(
        rank_offers(offers, nodes, health={}, height=41, request_digest=sha256(b"%d" % i))[
            0
        ].operator
        for i in range(800)
    )
    assert len(firsts) == len(NODES)
    assert min(firsts.values()) > 140, "each of four gets about 200 of 800"
