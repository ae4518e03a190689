"""Leaving jail: who missed too many votes asks to be seated again, once its time is over."""

from __future__ import annotations

import msgspec

from probatum.errors import Refusal
from probatum.ledger.context import Context
from probatum.ledger.state import State
from probatum.ledger.validators import (
    check_not_tombstoned,
    get_consensus_params,
    get_validator,
)
from probatum.protocol.primitives import Address
from probatum.protocol.transactions.validators import Unjail

__all__ = ["apply_unjail"]


def apply_unjail(state: State, context: Context, sender: Address, body: Unjail) -> None:
    """Free a validator; its stake decides whether it has a seat.

    Raises:
        Refusal: `ledger.no-validators`, `ledger.no-such-validator`, `ledger.tombstoned`,
            `ledger.not-jailed`, `ledger.jail-not-over`, `ledger.stake-too-low`.
    """
    del body
    params = get_consensus_params(context)
    record = get_validator(state, sender)
    check_not_tombstoned(record)
    if record.jailed_until is None:
        raise Refusal("ledger.not-jailed", "the validator is not in jail")
    if context.height < record.jailed_until:
        raise Refusal("ledger.jail-not-over", f"the jail is over at height {record.jailed_until}")
    if record.bonded < params.min_consensus_stake_units:
        raise Refusal(
            "ledger.stake-too-low",
            f"{record.bonded} units are bonded where a validator needs "
            f"{params.min_consensus_stake_units}",
            hint="stake first",
        )
    state.put_validator(msgspec.structs.replace(record, jailed_until=None))
