"""What must hold of validators after every block (`VAL-1`); asked by `invariants`.

Must not know handlers.
"""

from __future__ import annotations

from probatum.ledger.consensus_params import ConsensusParams
from probatum.ledger.seats import make_seat, order_seats, split_seats
from probatum.protocol import limits
from probatum.protocol.encoding import LedgerValue
from probatum.protocol.validators import (
    ConsensusKeyRecord,
    InfractionRecord,
    MissedRecord,
    ValidatorRecord,
    ValidatorSet,
)

__all__ = ["is_set", "is_set_due", "is_step"]


def is_step(before: LedgerValue, now: LedgerValue | None) -> bool:
    """Tell whether a record may have become another; True for what is no validator's."""
    match before, now:
        case ValidatorRecord(), ValidatorRecord():
            return (
                now.account == before.account
                and now.registered_at == before.registered_at
                and before.tombstoned_at in (None, now.tombstoned_at)
            )
        case MissedRecord(), MissedRecord():
            return now.account == before.account and now.window >= before.window
        case ((ConsensusKeyRecord() | InfractionRecord() | ConsensusParams()), _):
            return False
        case ((ValidatorRecord() | ValidatorSet()), None):
            return False
        case _:
            return True


def is_set(found: ValidatorSet) -> bool:
    """Tell whether a set is not empty, in order, and everybody has one seat and one key."""
    seats = (*found.seats, *found.waiting)
    return (
        bool(found.seats)
        and list(seats) == order_seats(seats)
        and len({seat.account for seat in seats}) == len(seats)
        and len({seat.key for seat in seats}) == len(seats)
        and sum(seat.power for seat in seats) <= limits.TOTAL_POWER
    )


def is_set_due(
    found: ValidatorSet | None, records: list[ValidatorRecord], params: ConsensusParams | None
) -> bool:
    """Tell whether the engine was told what the records of all validators give.

    Of very many the weakest are forgotten until they act again, however many leave meanwhile: then
    only those in the set are held to it. While nobody qualifies, the set stays as it was.
    """
    if params is None or found is None:
        return params is None and found is None and not records
    if len(records) > params.max_validators + limits.VALIDATOR_CANDIDATES:
        known = {seat.account for seat in (*found.seats, *found.waiting)}
        records = [record for record in records if record.account in known]
    ordered = order_seats(make_seat(record, params) for record in records)
    return not ordered or found == split_seats(ordered, params)
