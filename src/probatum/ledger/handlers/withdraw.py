"""Withdrawing: matured stake returns to the balance."""

from __future__ import annotations

from probatum.errors import Refusal
from probatum.ledger.balances import credit
from probatum.ledger.context import Context
from probatum.ledger.state import State
from probatum.protocol.primitives import Address
from probatum.protocol.records import StakeRecord
from probatum.protocol.transactions.kinds import Withdraw

__all__ = ["apply_withdraw"]


def apply_withdraw(state: State, context: Context, sender: Address, body: Withdraw) -> None:
    """Return all matured units.

    Raises:
        Refusal: `ledger.nothing-matured`.
    """
    del body
    stake = state.get_stake(sender)
    matured = sum(e.amount for e in stake.unbonding if e.matures_at <= context.height)
    if matured == 0:
        raise Refusal("ledger.nothing-matured", "no unbonding units have matured")
    left = tuple(entry for entry in stake.unbonding if entry.matures_at > context.height)
    state.put_stake(sender, StakeRecord(bonded=stake.bonded, unbonding=left))
    credit(state, sender, matured)
