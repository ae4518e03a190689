"""Closing a challenge of a lost entry: the node logged it anew, in a later session (`LOG-1`).

What the holder has is then in a settled log of the operator's after all, under another number.
The price goes back to who paid it, out of the sender's balance and not of the stake: stake that
a receipt could move to an account of the operator's choice would not be at stake.
"""

from __future__ import annotations

from probatum.errors import Refusal
from probatum.ledger.balances import burn, credit, debit, take_stake
from probatum.ledger.context import Context
from probatum.ledger.offences import end_challenge
from probatum.ledger.sessions import get_log
from probatum.ledger.state import State
from probatum.protocol.merkle import check_inclusion, leaf_hash
from probatum.protocol.primitives import Address
from probatum.protocol.records import ReturnRecord
from probatum.protocol.transactions.kinds import ReturnReceipt

__all__ = ["apply_return_receipt"]


def apply_return_receipt(
    state: State, context: Context, sender: Address, body: ReturnReceipt
) -> None:
    """Pay the price back, burn the late fee of the stake, give the bond back, write it down.

    Raises:
        Refusal: `ledger.no-such-log`, `ledger.no-such-challenge`; `ledger.not-lost` unless the
            session was declared lost; `ledger.lost-too` if the later one was as well;
            `ledger.not-covered` if that is not settled so far; `merkle.*` unless the proof shows
            the challenged entry there; `ledger.balance-too-low` for the price.
    """
    operator = body.operator
    get_log(state, operator, body.session)
    challenge = state.get_challenge(operator, body.session, body.index)
    if challenge is None:
        raise Refusal("ledger.no-such-challenge", f"no challenge of entry {body.index} is open")
    loss = state.get_loss(operator)
    if loss is None or body.session > loss.session:
        raise Refusal("ledger.not-lost", f"session {body.session} was not declared lost")
    if body.in_session <= loss.session:
        raise Refusal("ledger.lost-too", f"session {body.in_session} was declared lost as well")
    later = get_log(state, operator, body.in_session)
    if body.in_index >= later.size:
        raise Refusal("ledger.not-covered", f"entry {body.in_index} is not settled yet")
    leaf = leaf_hash(challenge.entry)
    check_inclusion(leaf, body.in_index, later.size, body.inclusion, later.root)
    if challenge.payer is not None:
        debit(state, sender, challenge.refund_units)
        credit(state, challenge.payer, challenge.refund_units)
    burn(state, take_stake(state, operator, context.params.late_fee_units))
    end_challenge(state, challenge)
    state.put_return(
        ReturnRecord(
            operator=operator,
            session=body.session,
            index=body.index,
            entry=challenge.entry,
            in_session=body.in_session,
            in_index=body.in_index,
            returned_at=context.height,
        )
    )
