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
    PrefixRecord,
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
    left = _count_answers(read())
    # What waits for its answer, as few as are open at one time, and what never got one.
    promises: dict[Digest, bytes] = {}
    texts: dict[Digest, bytes] = {}
    for data in read():
        match decode_journal_record(data):
            case AcceptedRecord(record_digest=digest):
                promises[digest] = data
            case PrefixRecord(record_digest=digest):
                texts[digest] = data  # the longest; an answer says it all
            case AnsweredRecord(record_digest=digest) as answered:
                texts.pop(digest, None)
                promise = promises.pop(digest, b"")
                if left > kept_bytes:
                    yield encode(_shorten(answered, promise))
                else:
                    yield from (promise, data) if promise else (data,)
                left -= len(promise) + len(data)
            case _:
                yield data
    yield from promises.values()
    yield from texts.values()


def _count_answers(journal: Iterator[bytes]) -> int:
    """Sum the bytes of all answers with their acceptances."""
    total = 0
    promised: dict[Digest, int] = {}
    for data in journal:
        match decode_journal_record(data):
            case AcceptedRecord(record_digest=digest):
                promised[digest] = len(data)
            case AnsweredRecord(record_digest=digest):
                total += promised.pop(digest, 0) + len(data)
            case _:
                pass
    return total


def _shorten(answered: AnsweredRecord, promise: bytes) -> LoggedRecord:
    accepted = decode_journal_record(promise) if promise else None
    return LoggedRecord(
        session=answered.session,
        index=answered.index,
        entry=sha256(answered.payload),
        tree=restore_tree(accepted) if isinstance(accepted, AcceptedRecord) else None,
        payload=answered.payload if CHARGES in answered.payload else b"",
    )
