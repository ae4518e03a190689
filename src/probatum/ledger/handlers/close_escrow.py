"""Closing an escrow: the payee is warned, and has a span of blocks to collect first (`PAY-1`)."""

from __future__ import annotations

import msgspec

from probatum.errors import Refusal
from probatum.ledger.context import Context
from probatum.ledger.escrows import count_held, get_own_escrow
from probatum.ledger.state import State
from probatum.protocol.primitives import Address
from probatum.protocol.transactions.kinds import CloseEscrow

__all__ = ["apply_close_escrow"]


def apply_close_escrow(state: State, context: Context, sender: Address, body: CloseEscrow) -> None:
    """Announce that the sender will take the rest back.

    Raises:
        Refusal: `ledger.no-such-escrow`; `ledger.closing-already`; `ledger.escrow-empty`.
    """
    escrow, record = get_own_escrow(state, context, sender, body.payee)
    if record.closing_at is not None:
        raise Refusal(
            "ledger.closing-already",
            f"the rest can be taken back after height {record.closing_at}",
        )
    if count_held(record) == 0:
        raise Refusal("ledger.escrow-empty", "nothing is left in the escrow")
    closing_at = context.height + context.params.escrow_delay_blocks
    state.put_escrow(escrow, msgspec.structs.replace(record, closing_at=closing_at))
