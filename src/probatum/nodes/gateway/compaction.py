"""Which records of a gateway's journal may go: those of requests that ended long ago.

Pending bundles are kept whatever their number: they are still to be settled. Of the others those
that ended last are kept, as far as a gateway holds them in memory too (`bundle_bytes`): who wants
a receipt for longer fetches it in time. What was charged is kept whole: budgets and running totals
are its sum. Must not know how a journal is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from probatum.nodes.gateway.journal_records import (
    GivenUpRecord,
    ReleasedRecord,
    SettledRecord,
    decode_journal_record,
)
from probatum.protocol.primitives import RequestId

__all__ = ["compact"]


def compact(read: Callable[[], Iterator[bytes]], *, kept_bytes: int) -> Iterator[bytes]:
    """Leave out the records of requests whose bundles are not held any more.

    A release that is kept goes before what ended it, one that is pending stays in its order.

    Args:
        read: Reads all records, in order; called twice.
        kept_bytes: How many bytes of ended requests' records to keep.

    Raises:
        Refusal: `encoding.*` for a record that is not one.
    """
    left, still_pending = _look_ahead(read())
    # What is settled later: as few as a gateway holds at one time.
    waiting: dict[RequestId, bytes] = {}
    for place, data in enumerate(read()):
        ended: tuple[bytes, ...] = ()
        match decode_journal_record(data):
            case ReleasedRecord(request_id=request_id, answered=True) if place not in still_pending:
                waiting[request_id] = data
                continue
            case ReleasedRecord(answered=False):
                ended = (data,)
            case SettledRecord(request_id=request_id) | GivenUpRecord(request_id=request_id) if (
                request_id in waiting
            ):
                ended = (waiting.pop(request_id), data)
            case _:
                yield data
        if left <= kept_bytes:
            yield from ended
        left -= sum(map(len, ended))


def _look_ahead(journal: Iterator[bytes]) -> tuple[int, frozenset[int]]:
    """Sum the bytes of the records of requests that ended, and find where pending ones are."""
    total = 0
    pending: dict[RequestId, tuple[int, int]] = {}
    again: list[int] = []
    for place, data in enumerate(journal):
        match decode_journal_record(data):
            case ReleasedRecord(request_id=request_id, answered=True):
                if request_id in pending:
                    again.append(pending[request_id][0])
                pending[request_id] = (place, len(data))
            case ReleasedRecord(answered=False):
                total += len(data)
            case SettledRecord(request_id=request_id) | GivenUpRecord(request_id=request_id) if (
                request_id in pending
            ):
                total += pending.pop(request_id)[1] + len(data)
            case _:
                pass
    return total, frozenset((*again, *(place for place, _ in pending.values())))
