import pytest

from probatum.evidence.routing import (
    Health,
    RoutingPolicy,
    compute_lot,
    is_eligible,
    rank_offers,
    select_offers,
)
from probatum.protocol.hashing import sha256
from tests.factories import NODES, make_node_record, make_offer

A, B, C = NODES[:3]
DIGEST = sha256(b"a request")


def rank(offers=None, *, health=None, digest=DIGEST, height=50, nodes=None, **policy):
    ranked = rank_offers(
        offers or tuple(make_offer(node) for node in NODES[:3]),
        nodes or {node.account: make_node_record(node) for node in NODES[:3]},
        health={actor.account: seen for actor, seen in (health or {}).items()},
        height=height,
        request_digest=digest,
        policy=RoutingPolicy(**policy),
    )
    names = {node.account: node for node in NODES}
    return [names[offer.operator] for offer in ranked]


def test_price_comes_first_then_failures_then_load_then_latency_then_the_lot():
    assert rank((make_offer(A, price_units=2), make_offer(B, price_units=1)))[0] == B
    assert rank(health={A: Health(failures=1), B: Health(failures=2)}) == [C, A, B]
    assert rank(health={A: Health(inflight=8), B: Health(inflight=4)}) == [C, B, A]
    slow = {A: Health(latency_ms=500), B: Health(latency_ms=100)}
    assert rank(health=slow) == [C, B, A]
    by_lot = sorted(NODES[:3], key=lambda node: compute_lot(DIGEST, node.account))
    assert rank() == by_lot


def test_small_differences_do_not_send_all_the_work_to_one_node():
    close = {A: Health(latency_ms=10), B: Health(latency_ms=49), C: Health(inflight=3)}
    assert rank(health=close) == rank()


def test_a_wish_for_one_operator_leaves_its_offers_alone():
    offers = tuple(make_offer(node) for node in NODES[:3])
    assert select_offers(offers, None) == offers
    assert select_offers(offers, B.account) == (offers[1],)
    assert select_offers(offers, NODES[3].account) == ()


def test_cheap_does_not_outweigh_ineligible():
    offers = (make_offer(A, price_units=5), make_offer(B, price_units=0))
    nodes = {A.account: make_node_record(A), B.account: make_node_record(B, heartbeat_at=1)}
    assert rank(offers, nodes=nodes) == [A]


@pytest.mark.parametrize(
    ("changes", "height", "eligible"),
    [
        ({}, 70, True),
        ({}, 71, False),
        ({"sessions": 0}, 50, False),
        ({"roles": ("gateway",)}, 50, False),
        ({"roles": ("gateway", "inference")}, 50, True),
        ({"account": B.account}, 50, False),
        ({"heartbeat_at": 99}, 50, True),
    ],
)
def test_who_is_eligible(changes, height, eligible):
    assert is_eligible(make_offer(A), make_node_record(A, **changes), height=height) is eligible


def test_an_operator_without_a_node_is_not_eligible():
    assert not is_eligible(make_offer(A), None, height=50)
    assert rank(nodes={B.account: make_node_record(B)}) == [B]
