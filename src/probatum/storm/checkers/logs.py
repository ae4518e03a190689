"""What inference nodes promise of their logs, after a storm (`LOG-1`, `CUSTODY-1`).

Nothing signed that is not on disk, no index used twice, every entry settled once it is calm.
Rebuilds each log from its node's disk and compares it with what was said and with the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from probatum.consensus.tables import RECORD
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
from probatum.protocol import limits
from probatum.protocol.encoding import decode
from probatum.protocol.hashing import sha256
from probatum.protocol.merkle import compute_root, leaf_hash
from probatum.protocol.primitives import Address, Digest, address_to_hex
from probatum.protocol.records import LogRecord, get_log_key
from probatum.storm.checkers.chain import Replay
from probatum.storm.people import derive_account
from probatum.storm.world import World

__all__ = ["check_logs", "is_settled"]


@dataclass(slots=True)
class _Book:
    """What one node's disk holds: the log entries of each session, and what it accepted."""

    entries: dict[int, list[Digest]] = field(default_factory=dict)
    accepted: set[bytes] = field(default_factory=set)


def check_logs(world: World, done: Replay) -> None:
    """Check all inference nodes' disks against the witness and the ledger."""
    books: dict[str, _Book] = {}
    for name, role in sorted(world.roles.items()):
        if role == "inference":
            operator = derive_account(world.kernel.seed, f"operator of {name}").address
            books[address_to_hex(operator)] = book = _read(world, name)
            if world.docket.excuses(name):
                continue  # its own promises are `trials`' matter
            _check_settled(world, done, name, operator, book)
            _check_accepted(world, name, book)
    trace = world.kernel.trace
    for (account, session, index), payload in sorted(world.witness.receipts.items()):
        if world.docket.excuses(account):
            continue
        found = books[account].entries.get(session, []) if account in books else []
        if index >= len(found) or found[index] != sha256(payload):
            trace.find(
                "logs.not-on-disk",
                account,
                f"a receipt for index {index} of session {session} was sent and is not kept",
            )
        trace.count("receipts seen")


def is_settled(world: World) -> bool:
    """Tell whether the full node's disk shows every entry on the nodes' disks as settled."""
    stored = world.kernel.parties["full"].disk.tables.get(RECORD, {})
    for name, role in world.roles.items():
        if role != "inference":
            continue
        operator = derive_account(world.kernel.seed, f"operator of {name}").address
        sizes: dict[int, int] = {}
        for data in world.kernel.parties[name].disk.journal:
            record = decode_journal_record(data)
            if isinstance(record, AnsweredRecord | ReturnedEntry):
                sizes[record.session] = record.index + 1
        for session, size in sizes.items():
            value = stored.get(get_log_key(operator, session))
            if value is None or _decode_log(value).size < size:
                return False
    return True


def _decode_log(value: bytes) -> LogRecord:
    return decode(LogRecord, value, limit_bytes=limits.STATE_VALUE_BYTES)


def _read(world: World, name: str) -> _Book:
    book, trace = _Book(), world.kernel.trace
    for data in world.kernel.parties[name].disk.journal:
        match decode_journal_record(data):
            case SessionOpened(session=session):
                if session in book.entries:
                    trace.find("logs.session-twice", name, f"session {session} was begun twice")
                book.entries.setdefault(session, [])
            case AcceptedRecord(record_digest=digest):
                book.accepted.add(digest)
            case AnsweredRecord() as record:
                world.witness.take_payload(name, record.payload)
                _take_entry(world, name, book, record, sha256(record.payload))
            case VoucherRecord() | PrefixRecord():
                pass
            case ReturnedEntry() | LoggedRecord() as record:
                _take_entry(world, name, book, record, record.entry)
    return book


def _take_entry(
    world: World,
    name: str,
    book: _Book,
    record: AnsweredRecord | LoggedRecord | ReturnedEntry,
    entry: Digest,
) -> None:
    entries = book.entries.setdefault(record.session, [])
    if record.index != len(entries):
        world.kernel.trace.find(
            "logs.index-used-twice",
            name,
            f"entry {record.index} of session {record.session} follows {len(entries)} entries",
        )
    entries.append(entry)


def _check_settled(world: World, done: Replay, name: str, operator: Address, book: _Book) -> None:
    trace = world.kernel.trace
    for session, entries in sorted(book.entries.items()):
        value = done.state.get(get_log_key(operator, session))
        if value is None:
            if entries:
                trace.find("logs.never-opened", name, f"session {session} is not in the ledger")
            continue
        record = _decode_log(value)
        leaves = [leaf_hash(entry) for entry in entries]
        if record.size < len(leaves):
            trace.find(
                "logs.not-settled",
                name,
                f"session {session} has {len(leaves)} entries, {record.size} of them settled",
            )
        elif record.size > len(leaves) or record.root != compute_root(leaves):
            trace.find("logs.other-root", name, f"session {session} settled as another log")
        trace.count("log entries settled", min(record.size, len(leaves)))


def _check_accepted(world: World, name: str, book: _Book) -> None:
    for digest, sender in sorted(world.witness.accepted.items()):
        if sender == name and digest not in book.accepted:
            world.kernel.trace.find(
                "logs.acceptance-not-on-disk",
                name,
                f"the hand-over {digest.hex()[:16]} was countersigned and is not kept",
            )
