"""Transfers: units from the sender to another account."""

from __future__ import annotations

from probatum.ledger.balances import check_amount, credit, debit
from probatum.ledger.context import Context
from probatum.ledger.state import State
from probatum.protocol.primitives import Address
from probatum.protocol.transactions.kinds import Transfer

__all__ = ["apply_transfer"]


def apply_transfer(state: State, context: Context, sender: Address, body: Transfer) -> None:
    """Move units.

    Raises:
        Refusal: `ledger.zero-amount`, `ledger.balance-too-low`.
    """
    del context
    check_amount(body.amount)
    debit(state, sender, body.amount)
    credit(state, body.to, body.amount)
