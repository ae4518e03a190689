"""Taking back the rest of a closed escrow (`PAY-1`).

The record stays, with what was collected, so that no old voucher is ever worth anything again that
was paid before. What was signed and never collected is still owed if the escrow is funded anew.
"""

from __future__ import annotations

import msgspec

from probatum.errors import Refusal
from probatum.ledger.balances import credit
from probatum.ledger.context import Context
from probatum.ledger.escrows import count_held, get_own_escrow
from probatum.ledger.state import State
from probatum.protocol.primitives import Address
from probatum.protocol.transactions.kinds import WithdrawEscrow

__all__ = ["apply_withdraw_escrow"]


def apply_withdraw_escrow(
    state: State, context: Context, sender: Address, body: WithdrawEscrow
) -> None:
    """Return to the sender what nobody collected.

    Raises:
        Refusal: `ledger.no-such-escrow`; `ledger.escrow-open` unless it was closed and its span
            is over; `ledger.escrow-empty`.
    """
    escrow, record = get_own_escrow(state, context, sender, body.payee)
    if record.closing_at is None:
        raise Refusal("ledger.escrow-open", "the escrow is not closing", hint="close it first")
    if context.height <= record.closing_at:
        raise Refusal(
            "ledger.escrow-open",
            f"the payee may collect up to height {record.closing_at}",
            hint="withdraw after that height",
        )
    rest = count_held(record)
    if rest == 0:
        raise Refusal("ledger.escrow-empty", "nothing is left in the escrow")
    credit(state, sender, rest)
    state.put_escrow(
        escrow,
        msgspec.structs.replace(record, deposited_units=record.collected_units, closing_at=None),
    )
