"""Withdrawing: matured stake returns to the balance.

Not while a lost log is being made good (`LOG-1`): who did not hand a receipt back is convicted only
at the end of the epoch, and must have something left to lose then.
"""

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
        Refusal: `ledger.loss-open` for an epoch and a challenge's window after a declared loss;
            `ledger.nothing-matured`.
    """
    del body
    loss = state.get_loss(sender)
    if loss is not None:
        params = context.params
        last = loss.declared_at + params.loss_epoch_blocks + params.challenge_window_blocks
        if context.height <= last:
            raise Refusal(
                "ledger.loss-open", f"the node lost its log: its stake stays up to height {last}"
            )
    stake = state.get_stake(sender)
    matured = sum(e.amount for e in stake.unbonding if e.matures_at <= context.height)
    if matured == 0:
        raise Refusal("ledger.nothing-matured", "no unbonding units have matured")
    left = tuple(entry for entry in stake.unbonding if entry.matures_at > context.height)
    state.put_stake(sender, StakeRecord(bonded=stake.bonded, unbonding=left))
    credit(state, sender, matured)
