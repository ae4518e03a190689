"""What a node finds in its journal when it starts: its logs, its answers, its lapses (`LOG-1`).

Must not know how the journal was read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from probatum.client.tabs import Tabs
from probatum.errors import Fault
from probatum.machine.budget import Recent, RecentDigests
from probatum.nodes.inference.handover import Tree, find_tree
from probatum.nodes.inference.journal_records import (
    AcceptedRecord,
    AnsweredRecord,
    LoggedRecord,
    PrefixRecord,
    ReturnedEntry,
    SessionOpened,
    VoucherRecord,
    decode_journal_record,
)
from probatum.nodes.inference.logbook import Logbook, SessionLog
from probatum.protocol import limits
from probatum.protocol.custody import HandOver, decode_handover
from probatum.protocol.dsse import Envelope, decode_payload
from probatum.protocol.encoding import decode_document
from probatum.protocol.hashing import sha256
from probatum.protocol.headers import SignedHeader
from probatum.protocol.hexes import digest_from_hex
from probatum.protocol.primitives import Digest, OperatingKey, RequestId
from probatum.protocol.receipts import decode_receipt
from probatum.protocol.tensors import Tensor

__all__ = ["ANSWERED_TREES", "CHARGES", "GivenAnswer", "Recovered", "recover", "restore_tree"]

CHARGES: Final = b'"running_total_units"'
ANSWERED_TREES: Final = 100_000
"""More than are answered in the blocks that a hand-over is good for; older ones are stale."""


class GivenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer in the log, kept for who asks again. Signing is repeatable, so it is not kept.

    Attributes:
        request_digest: What it answers, in hex.
        accepted: The countersigned hand-over that it cites.
        payload: The receipt's payload.
    """

    request_digest: str
    accepted: bytes
    payload: bytes
    outputs: tuple[Tensor, ...]

    @property
    def weight(self) -> int:
        """Bytes that it holds."""
        return (
            len(self.accepted)
            + len(self.payload)
            + sum(len(tensor.data) for tensor in self.outputs)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What earlier lives left.

    Attributes:
        seen: The ledger's last header that was written down, if any.
        sessions: Session numbers that were ever taken; none is used again.
        lapses: Accepted and never answered: request, and height by which it was due.
        answered: The custody trees that were answered last, also where the answer is forgotten.
        returned: Entries of lost sessions that are in later ones now.
        texts: Of texts that were begun and never answered, the longest prefix that was signed.
    """

    seen: SignedHeader | None
    sessions: frozenset[int]
    lapses: tuple[tuple[RequestId, int], ...]
    answered: RecentDigests
    returned: tuple[ReturnedEntry, ...]
    texts: tuple[PrefixRecord, ...] = ()


def recover(
    journal: Iterable[bytes],
    book: Logbook,
    answers: Recent[Tree, GivenAnswer],
    key: OperatingKey,
    tabs: Tabs,
) -> Recovered:
    """Rebuild logs, recent answers and what is owed from a journal.

    Args:
        journal: The records in order.
        book: Filled with every session, all entries durable.
        answers: Filled with the answers that `key` can sign again.
        key: The node's operating key now.
        tabs: Filled with the vouchers, and with what was charged.

    Raises:
        Refusal: `encoding.*` for a record that is not one.
        Fault: `node.journal-broken` where records contradict each other.
    """
    seen: SignedHeader | None = None
    sessions: set[int] = set()
    accepted: dict[bytes, AcceptedRecord] = {}
    trees = RecentDigests(limit=ANSWERED_TREES)
    returned: list[ReturnedEntry] = []
    texts: dict[bytes, PrefixRecord] = {}
    for data in journal:
        match decode_journal_record(data):
            case SessionOpened(session=session) as opened:
                if session in sessions:
                    raise _broken(f"session {session} was begun twice")
                sessions.add(session)
                book.open(session, opened.operating_key)
                seen = opened.seen
            case AcceptedRecord() as record:
                accepted[record.record_digest] = record
            case AnsweredRecord() as answered:
                log = _restore_entry(answered, book, sha256(answered.payload))
                _restore_charge(answered.payload, tabs)
                texts.pop(answered.record_digest, None)
                promise = accepted.pop(answered.record_digest, None)
                if promise is not None and log.key == key:
                    tree, answer = _restore_answer(promise, answered)
                    answers.put(tree, answer)
                    trees.put(tree)
            case LoggedRecord(tree=tree_answered) as logged:
                log = _restore_entry(logged, book, logged.entry)
                _restore_charge(logged.payload, tabs)
                if tree_answered is not None and log.key == key:
                    trees.put(tree_answered)
            case PrefixRecord() as prefix:
                texts[prefix.record_digest] = prefix
            case ReturnedEntry() as entry:
                _restore_entry(entry, book, entry.entry)
                returned.append(entry)
            case VoucherRecord() as kept:
                tabs.restore(kept.voucher, kept.user, kept.charged_units)
    lapses = tuple((record.request_id, record.answer_by) for record in accepted.values())
    return Recovered(
        seen=seen,
        sessions=frozenset(sessions),
        lapses=lapses,
        answered=trees,
        returned=tuple(returned),
        texts=tuple(texts.values()),
    )


def _broken(why: str) -> Fault:
    return Fault(
        "node.journal-broken",
        why,
        hint="start with an empty journal; what this one promised will show as lapses",
        retryable=False,
    )


def _restore_entry(
    record: AnsweredRecord | LoggedRecord | ReturnedEntry, book: Logbook, entry: Digest
) -> SessionLog:
    log = book.get(record.session)
    if log is None or record.index != len(log):
        raise _broken(f"entry {record.index} of session {record.session} is out of place")
    log.append(entry)
    log.mark_durable(len(log))
    return log


def _restore_charge(payload: bytes, tabs: Tabs) -> None:
    # Looked for in the bytes first: most receipts of most nodes cost nothing.
    if CHARGES not in payload:
        return
    receipt = decode_receipt(payload)
    if receipt.escrow is not None and receipt.running_total_units is not None:
        tabs.restore_charge(digest_from_hex(receipt.escrow), receipt.running_total_units, payload)


def restore_tree(record: AcceptedRecord) -> Tree:
    """Find out which custody tree an acceptance belongs to. Raises Refusal `encoding.*`."""
    return find_tree(_read_handover(record), record.record_digest)


def _read_handover(record: AcceptedRecord) -> HandOver:
    envelope = decode_document(Envelope, record.envelope, limit_bytes=limits.ENVELOPE_BYTES)
    return decode_handover(decode_payload(envelope))


def _restore_answer(record: AcceptedRecord, answered: AnsweredRecord) -> tuple[Tree, GivenAnswer]:
    handover = _read_handover(record)
    return find_tree(handover, record.record_digest), GivenAnswer(
        request_digest=handover.request_digest,
        accepted=record.envelope,
        payload=answered.payload,
        outputs=answered.outputs,
    )
