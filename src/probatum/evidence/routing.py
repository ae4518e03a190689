"""Which node is asked first: a public policy, the same for everybody who knows the same.

Eligible is an offer of the class that is asked for, whose operator is registered for inference,
has opened a log and beat within the heartbeat window. Eligible offers are ordered by price, then
by what the router has measured itself (whether hand-overs failed of late, then how many are
under way, then latency in coarse steps), then by a public lot: SHA-256 over request digest and
operator. So a router without measurements is bound by the lot, which no operator can choose, and
equal nodes share the work evenly. Whoever asks may want one operator and no other
(`select_offers`). Must not know where health comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from probatum.protocol.hashing import hash_tagged
from probatum.protocol.parties import ArithmeticClass, EvidenceClass
from probatum.protocol.primitives import Address, Digest
from probatum.protocol.records import NodeRecord, OfferRecord

__all__ = [
    "Health",
    "RoutingPolicy",
    "compute_lot",
    "is_eligible",
    "rank_offers",
    "select_offers",
]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What a router has measured of a node itself.

    Attributes:
        latency_ms: Typical time from hand-over to answer; 0 if never measured.
        failures: Hand-overs in a row that failed of late.
        inflight: Hand-overs that are under way now.
    """

    latency_ms: int = 0
    failures: int = 0
    inflight: int = 0


_UNMEASURED: Final = Health()


class RoutingPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The policy's numbers; a gateway states its own in its configuration.

    Attributes:
        heartbeat_blocks: A node whose last heartbeat is older counts as gone; the ledger's
            `Params.heartbeat_window_blocks` unless there is a reason.
        latency_step_ms: Latencies are compared in steps of this size, doubled at each step, so
            that small differences do not send all the work to one node.
        inflight_step: Hand-overs under way are compared in steps of so many.
        arithmetic: The class of arithmetic that is asked for.
        evidence: The class of evidence that is asked for.
    """

    heartbeat_blocks: int = 30
    latency_step_ms: int = 50
    inflight_step: int = 4
    arithmetic: ArithmeticClass = "float"
    evidence: EvidenceClass = "signed"


_POLICY: Final = RoutingPolicy()


def compute_lot(request_digest: Digest, operator: Address) -> Digest:
    """Compute an operator's lot for a request: the lowest one goes first among equals."""
    return hash_tagged("probatum/routing-lot/1", request_digest, operator)


def is_eligible(
    offer: OfferRecord, node: NodeRecord | None, *, height: int, policy: RoutingPolicy = _POLICY
) -> bool:
    """Tell whether an offer may be routed to at a ledger height."""
    return (
        node is not None
        and node.account == offer.operator
        and "inference" in node.roles
        and node.sessions > 0
        and node.heartbeat_at + policy.heartbeat_blocks >= height
        and (offer.arithmetic, offer.evidence) == (policy.arithmetic, policy.evidence)
    )


def select_offers(
    offers: tuple[OfferRecord, ...], wanted: Address | None
) -> tuple[OfferRecord, ...]:
    """Select the offers of the one operator whom the asker wants; all of them without a wish."""
    return tuple(offer for offer in offers if wanted in {None, offer.operator})


def rank_offers(
    offers: tuple[OfferRecord, ...],
    nodes: Mapping[Address, NodeRecord],
    *,
    health: Mapping[Address, Health],
    height: int,
    request_digest: Digest,
    policy: RoutingPolicy = _POLICY,
) -> tuple[OfferRecord, ...]:
    """Order the eligible offers: whom to ask first, whom next if that fails.

    Args:
        offers: All offers to run the package.
        nodes: The operators' nodes; an operator without one is not eligible.
        health: Own measurements; operators without any count as unmeasured.
        height: The ledger height that heartbeats are held against.
        request_digest: Seeds the lot.
        policy: The numbers.

    Returns:
        Eligible offers, best first; the order of `offers` does not matter.
    """

    def rank(offer: OfferRecord) -> tuple[int, int, int, int, Digest]:
        seen = health.get(offer.operator, _UNMEASURED)
        return (
            offer.price_units,
            min(seen.failures, 8),
            seen.inflight // policy.inflight_step,
            (seen.latency_ms // policy.latency_step_ms).bit_length(),
            compute_lot(request_digest, offer.operator),
        )

    eligible = (
        offer
        for offer in offers
        if is_eligible(offer, nodes.get(offer.operator), height=height, policy=policy)
    )
    return tuple(sorted(eligible, key=rank))
