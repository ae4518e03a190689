"""Staking: units of the sender's balance become its bonded stake."""

from __future__ import annotations

from probatum.ledger.balances import check_amount, debit
from probatum.ledger.context import Context
from probatum.ledger.state import State
from probatum.protocol.primitives import Address
from probatum.protocol.records import StakeRecord
from probatum.protocol.transactions.kinds import Stake

__all__ = ["apply_stake"]


def apply_stake(state: State, context: Context, sender: Address, body: Stake) -> None:
    """Bond units.

    Raises:
        Refusal: `ledger.zero-amount`, `ledger.balance-too-low`.
    """
    del context
    check_amount(body.amount)
    debit(state, sender, body.amount)
    stake = state.get_stake(sender)
    state.put_stake(
        sender, StakeRecord(bonded=stake.bonded + body.amount, unbonding=stake.unbonding)
    )
