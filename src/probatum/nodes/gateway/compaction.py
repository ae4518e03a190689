"""Which records of a gateway's journal may go: those of requests that ended long ago.

Pending bundles are kept whatever their number: they are still to be settled. Of the others those
that ended last are kept, as far as a gateway holds them in memory too (`bundle_bytes`): who wants
a receipt for longer fetches it in time. What the others charged is kept as sums, which stand before
everything else (`tallies`). Must not know how a journal is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from probatum.nodes.gateway.journal_records import (
    BoughtRecord,
    ChargedRecord,
    GivenUpRecord,
    JournalRecord,
    ReleasedRecord,
    SettledRecord,
    SpentRecord,
    TabRecord,
    decode_journal_record,
)
from probatum.nodes.gateway.tallies import Tallies
from probatum.protocol.primitives import RequestId

__all__ = ["compact"]


def compact(read: Callable[[], Iterator[bytes]], *, kept_bytes: int) -> Iterator[bytes]:
    """Leave out the records of requests whose bundles are not held any more.

    Sums of what they charged come first. A release that is kept goes before what ended it, one that
    is pending stays in its order.

    Args:
        read: Reads all records, in order; called three times.
        kept_bytes: How many bytes of ended requests' records to keep.

    Raises:
        Refusal: `encoding.*` for a record that is not one.
    """
    plan = _look_ahead(read(), kept_bytes)
    tallies = Tallies()
    for step in _walk(read(), plan):
        for record in map(decode_journal_record, step.records):
            tallies.take(record, kept=step.kept)
    yield from tallies.encode()
    for step in _walk(read(), plan):
        if step.kept:
            yield from step.records


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What a first look found.

    Attributes:
        gone_bytes: So many bytes of ended requests' records go, the first to end.
        pending: Places of releases that nothing ended.
    """

    gone_bytes: int
    pending: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """Records that stay or go together."""

    records: tuple[bytes, ...]
    kept: bool


def _walk(journal: Iterator[bytes], plan: _Plan) -> Iterator[_Step]:
    """Take requests' records together, in the order in which the requests end."""
    gone = 0
    # What is settled later: as few as a gateway holds at one time.
    waiting: dict[RequestId, bytes] = {}
    for place, data in enumerate(journal):
        record = decode_journal_record(data)
        request_id = _find_pending(record)
        if request_id is not None and place not in plan.pending:
            waiting[request_id] = data
            continue
        match record:
            case ReleasedRecord(answered=False):
                ended: tuple[bytes, ...] = (data,)
            case SettledRecord(request_id=request_id) | GivenUpRecord(request_id=request_id) if (
                request_id in waiting
            ):
                ended = (waiting.pop(request_id), data)
            case TabRecord() | SpentRecord() | BoughtRecord():
                yield _Step(records=(data,), kept=False)
                continue
            case _:
                yield _Step(records=(data,), kept=True)
                continue
        yield _Step(records=ended, kept=gone >= plan.gone_bytes)
        gone += sum(map(len, ended))


def _look_ahead(journal: Iterator[bytes], kept_bytes: int) -> _Plan:
    """Sum the bytes of the records of requests that ended, and find where pending ones are."""
    total = 0
    pending: dict[RequestId, tuple[int, int]] = {}
    again: list[int] = []
    for place, data in enumerate(journal):
        record = decode_journal_record(data)
        released = _find_pending(record)
        if released is not None:
            if released in pending:
                again.append(pending[released][0])
            pending[released] = (place, len(data))
            continue
        match record:
            case ReleasedRecord(answered=False):
                total += len(data)
            case SettledRecord(request_id=request_id) | GivenUpRecord(request_id=request_id) if (
                request_id in pending
            ):
                total += pending.pop(request_id)[1] + len(data)
            case _:
                pass
    still = frozenset((*again, *(place for place, _ in pending.values())))
    return _Plan(gone_bytes=total - kept_bytes, pending=still)


def _find_pending(record: JournalRecord) -> RequestId | None:
    """Find the request whose answer a record releases: it is still to be settled."""
    match record:
        case ReleasedRecord(request_id=request_id, answered=True):
            return request_id
        case ChargedRecord(request_id=request_id):
            return request_id
        case _:
            return None
