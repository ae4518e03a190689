"""Validators' records as handlers need them, and the set at the end of a block (`VAL-1`).

The set is made anew from the records of all who have a seat or wait for one, and of those whom
the block touched; what the engine is told is the difference. If nobody qualifies any more, the
set stays as it was until somebody does: an engine without validators never starts again. Must not
know transactions nor votes. Read next: `votes`, `misbehaviour`.
"""

from __future__ import annotations

import msgspec

from probatum.errors import Refusal
from probatum.ledger.balances import burn
from probatum.ledger.consensus_params import ConsensusParams
from probatum.ledger.context import Context
from probatum.ledger.seats import (
    compute_power,
    compute_updates,
    make_seat,
    order_seats,
    split_seats,
)
from probatum.ledger.state import State
from probatum.protocol.blocks import ValidatorUpdate
from probatum.protocol.primitives import Address
from probatum.protocol.validators import ValidatorRecord

__all__ = [
    "check_not_tombstoned",
    "check_others_qualify",
    "get_consensus_params",
    "get_validator",
    "seat_validators",
    "slash",
]


def get_consensus_params(context: Context) -> ConsensusParams:
    """Get the parameters of validators. Raises Refusal `ledger.no-validators`."""
    if context.consensus is None:
        raise Refusal("ledger.no-validators", "one key signs this chain: it has no validators")
    return context.consensus


def get_validator(state: State, account: Address) -> ValidatorRecord:
    """Get who validates, or did. Raises Refusal `ledger.no-such-validator`."""
    record = state.get_validator(account)
    if record is None:
        raise Refusal(
            "ledger.no-such-validator",
            "the account has registered no consensus key",
            hint="register the validator first",
        )
    return record


def check_not_tombstoned(record: ValidatorRecord) -> None:
    """Check that an account may validate. Raises Refusal `ledger.tombstoned`."""
    if record.tombstoned_at is not None:
        raise Refusal(
            "ledger.tombstoned",
            f"the validator was convicted of misbehaviour at height {record.tombstoned_at}",
            hint="unstake what is left; validate by another account and key",
        )


def check_others_qualify(
    state: State, params: ConsensusParams, before: ValidatorRecord, after: ValidatorRecord
) -> None:
    """Check that the last validator does not leave. Raises Refusal `ledger.last-validator`."""
    if not compute_power(before, params) or compute_power(after, params):
        return
    found = state.get_validator_set()
    for seat in (*found.seats, *found.waiting):
        if seat.account == before.account:
            continue
        record = state.get_validator(seat.account)
        if record is not None and compute_power(record, params):
            return
    raise Refusal("ledger.last-validator", "nobody else would be left to make blocks")


def slash(state: State, record: ValidatorRecord, amount: int, *, began_from: int) -> int:
    """Burn up to `amount` units of a validator's stake and write its record.

    Bonded units go first, then those that would be free the soonest.

    Args:
        state: The state.
        record: The validator, as it is to be written otherwise.
        amount: Units.
        began_from: Of what is unbonding, only what began at this height or later is touched.

    Returns:
        What was burned.
    """
    left = amount - min(amount, record.bonded)
    kept = []
    for entry in record.unbonding:
        taken = min(left, entry.amount) if entry.began_at >= began_from else 0
        left -= taken
        if taken < entry.amount:
            kept.append(msgspec.structs.replace(entry, amount=entry.amount - taken))
    bonded = max(0, record.bonded - amount)
    state.put_validator(
        msgspec.structs.replace(record, bonded=bonded, unbonding=tuple(kept)),
    )
    burn(state, amount - left)
    return amount - left


def seat_validators(state: State, params: ConsensusParams) -> tuple[ValidatorUpdate, ...]:
    """Make the set that the block leaves behind, and say what the engine must be told.

    Returns:
        Sorted by key, each once; the set that they lead to is not empty.
    """
    touched = state.get_touched_validators()
    if not touched:
        return ()
    before = state.get_validator_set()
    accounts = {seat.account for seat in (*before.seats, *before.waiting)}
    seats = []
    for account in sorted(accounts | touched):
        record = state.get_validator(account)
        if record is not None:
            seats.append(make_seat(record, params))
    ordered = order_seats(seats)
    if not ordered:
        return ()
    after = split_seats(ordered, params)
    state.put_validator_set(after)
    return compute_updates(before.seats, after.seats)
