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

    Args:
        read: Reads all records, in order; called twice.
        kept_bytes: How many bytes of ended requests' records to keep.

    Raises:
        Refusal: `encoding.*` for a record that is not one.
    """
    gone = _find_forgotten(read(), kept_bytes)
    return (data for place, data in enumerate(read()) if place not in gone)


def _find_forgotten(journal: Iterator[bytes], kept_bytes: int) -> frozenset[int]:
    places: dict[RequestId, tuple[int, ...]] = {}
    sizes: dict[RequestId, int] = {}
    ended: dict[RequestId, None] = {}
    for place, data in enumerate(journal):
        match decode_journal_record(data):
            case ReleasedRecord(request_id=request_id, answered=answered):
                is_over = not answered
            case SettledRecord(request_id=request_id) | GivenUpRecord(request_id=request_id):
                if request_id not in places:
                    continue  # of a charge, which is kept with how it ended
                is_over = True
            case _:
                continue
        places[request_id] = (*places.get(request_id, ()), place)
        sizes[request_id] = sizes.get(request_id, 0) + len(data)
        if is_over:
            ended.pop(request_id, None)
            ended[request_id] = None
    gone: list[int] = []
    for request_id in reversed(ended):
        kept_bytes -= sizes[request_id]
        if kept_bytes < 0:
            gone += places[request_id]
    return frozenset(gone)
