"""What need not stay in a node's journal: answers that nobody is told again.

Of an answer older than those that are kept for who asks again (`recent_bytes`), the log's entry is
left, the custody tree that it answered, and what it charged: a node can still settle its log, prove
any entry, and refuse to answer a second time (`LOG-1`). Everything else stays. Must not know how a
journal is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from probatum.nodes.inference.journal_records import (
    AcceptedRecord,
    AnsweredRecord,
    LoggedRecord,
    decode_journal_record,
)
from probatum.nodes.inference.recovery import CHARGES, restore_tree
from probatum.protocol.encoding import encode
from probatum.protocol.hashing import sha256
from probatum.protocol.primitives import Digest

__all__ = ["compact"]


def compact(read: Callable[[], Iterator[bytes]], *, kept_bytes: int) -> Iterator[bytes]:
    """Shorten the records of old answers.

    Args:
        read: Reads all records, in order; called twice.
        kept_bytes: How many bytes of acceptances and answers to keep whole, the newest ones.

    Raises:
        Refusal: `encoding.*` for a record that is not one.
    """
    old = _find_old(read(), kept_bytes)
    accepted: dict[Digest, AcceptedRecord] = {}
    for data in read():
        match decode_journal_record(data):
            case AcceptedRecord(record_digest=digest) as promise if digest in old:
                accepted[digest] = promise
            case AnsweredRecord(record_digest=digest) as answered if digest in old:
                yield encode(_shorten(answered, accepted.pop(digest, None)))
            case _:
                yield data


def _find_old(journal: Iterator[bytes], kept_bytes: int) -> frozenset[Digest]:
    """Find the hand-overs whose answers are old, oldest answers first."""
    sizes: dict[Digest, int] = {}
    answered: list[Digest] = []
    for data in journal:
        match decode_journal_record(data):
            case AcceptedRecord(record_digest=digest):
                sizes[digest] = len(data)
            case AnsweredRecord(record_digest=digest):
                sizes[digest] = sizes.get(digest, 0) + len(data)
                answered.append(digest)
            case _:
                pass
    for place in range(len(answered) - 1, -1, -1):
        kept_bytes -= sizes[answered[place]]
        if kept_bytes < 0:
            return frozenset(answered[: place + 1])
    return frozenset()


def _shorten(answered: AnsweredRecord, promise: AcceptedRecord | None) -> LoggedRecord:
    return LoggedRecord(
        session=answered.session,
        index=answered.index,
        entry=sha256(answered.payload),
        tree=None if promise is None else restore_tree(promise),
        payload=answered.payload if CHARGES in answered.payload else b"",
    )
