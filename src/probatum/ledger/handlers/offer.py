"""Offering to run a package at a price.

Whether the package is published is not checked: offers are found by a published model's package,
so an offer for anything else is never routed to.
"""

from __future__ import annotations

from probatum.errors import Refusal
from probatum.ledger.authority import authorise
from probatum.ledger.context import Context
from probatum.ledger.state import State
from probatum.protocol.primitives import Address
from probatum.protocol.records import OfferRecord
from probatum.protocol.transactions.kinds import Offer

__all__ = ["apply_offer"]


def apply_offer(state: State, context: Context, sender: Address, body: Offer) -> None:
    """Make an offer, or replace the one for the same package and class.

    Raises:
        Refusal: `ledger.no-such-node`, `ledger.wrong-sequence`, `ledger.stake-too-low`,
            `ledger.not-inference`, `ed25519.bad-signature`.
    """
    node = authorise(state, context, sender, body)
    if "inference" not in node.roles:
        raise Refusal("ledger.not-inference", "the node has not the role inference")
    state.put_offer(
        OfferRecord(
            operator=body.operator,
            package=body.package,
            arithmetic=body.arithmetic,
            evidence=body.evidence,
            price_units=body.price_units,
            offered_at=context.height,
        )
    )
