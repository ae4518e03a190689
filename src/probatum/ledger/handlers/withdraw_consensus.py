"""Withdrawing consensus stake: what has matured returns to the balance (`VAL-1`)."""

from __future__ import annotations

import msgspec

from probatum.errors import Refusal
from probatum.ledger.balances import credit
from probatum.ledger.context import Context
from probatum.ledger.state import State
from probatum.ledger.validators import get_consensus_params, get_validator
from probatum.protocol.primitives import Address
from probatum.protocol.transactions.validators import WithdrawConsensus

__all__ = ["apply_withdraw_consensus"]


def apply_withdraw_consensus(
    state: State, context: Context, sender: Address, body: WithdrawConsensus
) -> None:
    """Return all units that have matured by height and by header time.

    Raises:
        Refusal: `ledger.no-validators`, `ledger.no-such-validator`, `ledger.nothing-matured`.
    """
    del body
    get_consensus_params(context)
    record = get_validator(state, sender)
    height, time_ms = context.height, context.time_ms
    matured = tuple(
        entry
        for entry in record.unbonding
        if entry.matures_at <= height and entry.matures_ms <= time_ms
    )
    if not matured:
        raise Refusal("ledger.nothing-matured", "no unbonding units have matured")
    left = tuple(entry for entry in record.unbonding if entry not in matured)
    state.put_validator(msgspec.structs.replace(record, unbonding=left))
    credit(state, sender, sum(entry.amount for entry in matured))
