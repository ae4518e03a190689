"""Taking an offer back; needs no stake, so that a node can always leave."""

from __future__ import annotations

from probatum.errors import Refusal
from probatum.ledger.authority import authorise
from probatum.ledger.context import Context
from probatum.ledger.state import State
from probatum.protocol.primitives import Address
from probatum.protocol.transactions.kinds import WithdrawOffer

__all__ = ["apply_withdraw_offer"]


def apply_withdraw_offer(
    state: State, context: Context, sender: Address, body: WithdrawOffer
) -> None:
    """Delete an offer.

    Raises:
        Refusal: `ledger.no-such-node`, `ledger.wrong-sequence`, `ledger.no-such-offer`,
            `ed25519.bad-signature`.
    """
    authorise(state, context, sender, body, staked=False)
    if state.get_offer(body.operator, body.package, body.arithmetic) is None:
        raise Refusal("ledger.no-such-offer", "the node has no such offer")
    state.remove_offer(body.operator, body.package, body.arithmetic)
