"""Who has a seat among the validators: a function of their records alone (`VAL-1`).

Power is bonded stake in whole tokens; those with the most have the seats. The supply is below
2**63 units, so all power together is below 2**34, far from what an engine can count. Must not
know transactions, blocks or how records are kept. Read next: `validators`.
"""

from __future__ import annotations

from collections.abc import Iterable

from probatum.ledger.consensus_params import ConsensusParams
from probatum.protocol import limits
from probatum.protocol.blocks import ValidatorUpdate
from probatum.protocol.primitives import UNITS_PER_TOKEN, ConsensusAddress
from probatum.protocol.validators import (
    Seat,
    ValidatorRecord,
    ValidatorSet,
    compute_consensus_address,
)

__all__ = [
    "compute_power",
    "compute_updates",
    "make_seat",
    "make_set",
    "order_seats",
    "split_seats",
]


def compute_power(record: ValidatorRecord, params: ConsensusParams) -> int:
    """Compute the voting power that a validator should have; 0 if it should have none."""
    if (
        record.jailed_until is not None
        or record.tombstoned_at is not None
        or record.bonded < params.min_consensus_stake_units
    ):
        return 0
    return record.bonded // UNITS_PER_TOKEN


def make_seat(record: ValidatorRecord, params: ConsensusParams) -> Seat:
    """Make the seat that a validator would have."""
    return Seat(account=record.account, key=record.key, power=compute_power(record, params))


def order_seats(seats: Iterable[Seat]) -> list[Seat]:
    """Sort seats as the engine sorts its validators; those without power have no place."""
    return sorted((seat for seat in seats if seat.power), key=_get_rank)


def _get_rank(seat: Seat) -> tuple[int, ConsensusAddress]:
    return -seat.power, compute_consensus_address(seat.key)


def make_set(records: Iterable[ValidatorRecord], params: ConsensusParams) -> ValidatorSet:
    """Make the set of validators' records; at least one of them must qualify."""
    return split_seats(order_seats(make_seat(record, params) for record in records), params)


def split_seats(ordered: list[Seat], params: ConsensusParams) -> ValidatorSet:
    """Give the first their seats and let the others wait; the weakest of very many drop out."""
    return ValidatorSet(
        seats=tuple(ordered[: params.max_validators]),
        waiting=tuple(ordered[params.max_validators :][: limits.VALIDATOR_CANDIDATES]),
    )


def compute_updates(
    before: tuple[Seat, ...], after: tuple[Seat, ...]
) -> tuple[ValidatorUpdate, ...]:
    """Compute what an engine must be told to get from one set to the other, sorted by key."""
    now = {seat.key: seat.power for seat in after}
    was = {seat.key: seat.power for seat in before}
    return tuple(
        ValidatorUpdate(key=key, power=now.get(key, 0))
        for key in sorted(now.keys() | was.keys())
        if now.get(key, 0) != was.get(key, 0)
    )
