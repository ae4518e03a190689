"""Staking to validate: units of the sender's balance become its consensus stake (`VAL-1`)."""

from __future__ import annotations

import msgspec

from probatum.ledger.balances import check_amount, debit
from probatum.ledger.context import Context
from probatum.ledger.state import State
from probatum.ledger.validators import (
    check_not_tombstoned,
    get_consensus_params,
    get_validator,
)
from probatum.protocol.primitives import Address
from probatum.protocol.transactions.validators import StakeConsensus

__all__ = ["apply_stake_consensus"]


def apply_stake_consensus(
    state: State, context: Context, sender: Address, body: StakeConsensus
) -> None:
    """Bond units; who is in jail may too.

    Raises:
        Refusal: `ledger.no-validators`, `ledger.no-such-validator`, `ledger.tombstoned`,
            `ledger.zero-amount`, `ledger.balance-too-low`.
    """
    get_consensus_params(context)
    record = get_validator(state, sender)
    check_not_tombstoned(record)
    check_amount(body.amount)
    debit(state, sender, body.amount)
    state.put_validator(msgspec.structs.replace(record, bonded=record.bonded + body.amount))
