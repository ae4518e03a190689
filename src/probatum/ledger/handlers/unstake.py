"""Unstaking: bonded units begin to unbond.

An operator may unbond all; while less than its roles' minimum is bonded, its node can neither
beat, offer nor open logs, so it falls out of routing by itself.
"""

from __future__ import annotations

from typing import Final

from probatum.errors import Refusal
from probatum.ledger.balances import check_amount
from probatum.ledger.context import Context
from probatum.ledger.state import State
from probatum.protocol.primitives import Address
from probatum.protocol.records import StakeRecord, Unbonding
from probatum.protocol.transactions.kinds import Unstake

__all__ = ["apply_unstake"]

_ENTRIES: Final = 32
"""As many as `StakeRecord` can hold."""


def apply_unstake(state: State, context: Context, sender: Address, body: Unstake) -> None:
    """Begin to unbond units; those unbonded in one block are one entry.

    Raises:
        Refusal: `ledger.zero-amount`, `ledger.stake-too-low`, `ledger.unbonding-full`.
    """
    check_amount(body.amount)
    stake = state.get_stake(sender)
    if stake.bonded < body.amount:
        raise Refusal("ledger.stake-too-low", f"{stake.bonded} units are bonded, not {body.amount}")
    entries, amount = stake.unbonding, body.amount
    matures_at = context.height + context.params.unbonding_blocks
    if entries and entries[-1].matures_at == matures_at:
        amount += entries[-1].amount
        entries = entries[:-1]
    if len(entries) == _ENTRIES:
        raise Refusal(
            "ledger.unbonding-full",
            f"{_ENTRIES} amounts are unbonding already",
            hint="withdraw what has matured",
        )
    state.put_stake(
        sender,
        StakeRecord(
            bonded=stake.bonded - body.amount,
            unbonding=(*entries, Unbonding(amount=amount, matures_at=matures_at)),
        ),
    )
