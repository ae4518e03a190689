"""What must hold after every block, whatever was in it.

`check_changes` looks at what a block changed and costs as much as the block; `check_records`
looks at the whole state. A breach is a bug of this software: whoever runs it stops rather than
signs. Must not know handlers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from probatum.errors import Misuse
from probatum.ledger.consensus_params import ConsensusParams
from probatum.ledger.validator_invariants import is_set, is_set_due, is_step
from probatum.protocol.encoding import LedgerValue
from probatum.protocol.primitives import AMOUNT_BOUND
from probatum.protocol.records import (
    Account,
    ChallengeRecord,
    EscrowRecord,
    KeyRecord,
    LogRecord,
    LossRecord,
    ModelRecord,
    NameRecord,
    NodeRecord,
    OffenceRecord,
    PackageNameRecord,
    PublisherKeyRecord,
    PublisherRecord,
    ReturnRecord,
    StakeRecord,
    Supply,
)
from probatum.protocol.validators import ValidatorRecord, ValidatorSet

__all__ = ["InvariantBroken", "check_changes", "check_records", "sum_units"]


class InvariantBroken(Misuse):
    """The ledger's own rules were broken by its own code."""


def _break(what: str) -> NoReturn:
    raise InvariantBroken(
        "ledger.invariant-broken", what, hint="stop this node and report the block"
    )


def sum_units(record: LedgerValue | None) -> int:
    """Units that a record holds: in accounts, stake, bonds, escrows; burned, less issued."""
    match record:
        case Account():
            return record.balance
        case StakeRecord() | ValidatorRecord():
            return record.bonded + sum(entry.amount for entry in record.unbonding)
        case ChallengeRecord():
            return record.bond_units
        case EscrowRecord():
            return record.deposited_units - record.collected_units
        case Supply():
            return record.burned - record.issued
        case _:
            return 0


def _check_range(record: LedgerValue | None) -> None:
    match record:
        case Account():
            amounts: tuple[int, ...] = (record.balance, record.nonce)
        case StakeRecord() | ValidatorRecord():
            amounts = (record.bonded, *(entry.amount for entry in record.unbonding))
        case Supply():
            amounts = (record.issued, record.burned)
        case ChallengeRecord():
            amounts = (record.bond_units,)
        case EscrowRecord():
            amounts = (record.deposited_units, record.collected_units, sum_units(record))
        case ValidatorSet():
            if not is_set(record):
                _break(f"this is no set of validators: {record}")
            return
        case _:
            return
    if not all(0 <= amount < AMOUNT_BOUND for amount in amounts):
        _break(f"an amount is out of range: {record}")


def _check_step(key: bytes, before: LedgerValue, now: LedgerValue | None) -> None:
    """Check one record's step from what it was to what it is."""
    holds = True
    match before, now:
        case Account(), Account():
            holds = now.nonce >= before.nonce
        case Supply(), Supply():
            holds = now.issued == before.issued and now.burned >= before.burned
        case NodeRecord(), NodeRecord():
            holds = (
                now.account == before.account
                and now.registered_at == before.registered_at
                and now.sequence >= before.sequence
                and now.sessions >= before.sessions
                and now.heartbeat_at >= before.heartbeat_at
            )
        case LogRecord(), LogRecord():
            holds = (
                now.operating_key == before.operating_key
                and now.opener == before.opener
                and now.size > before.size
                and now.settled_at > before.settled_at
            )
        case EscrowRecord(), EscrowRecord():
            holds = (now.payer, now.payee, now.opened_at) == (
                before.payer,
                before.payee,
                before.opened_at,
            ) and now.collected_units >= before.collected_units
        case LossRecord(), LossRecord():
            holds = (
                now.session > before.session
                and now.declared_at > before.declared_at
                and now.losses > before.losses
            )
        case KeyRecord(), KeyRecord():
            holds = now.account == before.account and before.retired_at is None
        case PublisherKeyRecord(), PublisherKeyRecord():
            holds = (
                now.account == before.account
                and now.key == before.key
                and now.registered_at == before.registered_at
                and before.retired_at is None
            )
        case PublisherRecord(), PublisherRecord():
            holds = now.account == before.account
        case ((ModelRecord() | NameRecord() | PackageNameRecord() | OffenceRecord()), _):
            holds = False
        case (ChallengeRecord(), ChallengeRecord()) | (ReturnRecord(), _):
            holds = False
        case (Account() | Supply() | NodeRecord() | LogRecord() | KeyRecord(), None) | (
            PublisherRecord() | PublisherKeyRecord() | LossRecord() | EscrowRecord(),
            None,
        ):
            holds = False
        case _:
            holds = is_step(before, now)
    if not holds:
        _break(f"the record {key!r} went from {before} to {now}")


def check_changes(
    changes: Iterable[tuple[bytes, LedgerValue | None, LedgerValue | None]],
) -> None:
    """Check a block's changes: units are conserved, and what only grows has grown.

    Args:
        changes: Key, value before the block, value after it, of every changed record.

    Raises:
        InvariantBroken: `ledger.invariant-broken`.
    """
    difference = 0
    for key, before, now in changes:
        difference += sum_units(now) - sum_units(before)
        _check_range(now)
        if before is not None:
            _check_step(key, before, now)
    if difference:
        _break(f"{abs(difference)} units came from nowhere or went nowhere")


def check_records(records: Iterable[LedgerValue]) -> None:
    """Check a whole state: what people have and what was burned is what was issued.

    Where there are validators, the engine was told what their records say.

    Raises:
        InvariantBroken: `ledger.invariant-broken`.
    """
    total, supplies = 0, 0
    validators: list[ValidatorRecord] = []
    found: ValidatorSet | None = None
    params: ConsensusParams | None = None
    for record in records:
        match record:
            case ValidatorRecord():
                validators.append(record)
            case ValidatorSet():
                found = record
            case ConsensusParams():
                params = record
            case _:
                pass
        total += sum_units(record)
        supplies += isinstance(record, Supply)
        _check_range(record)
    if total or supplies != 1:
        _break(f"the state is off by {total} units over {supplies} supplies")
    if not is_set_due(found, validators, params):
        _break("the engine was told another set than the records of validators give")
