"""A node's log sessions in memory: what is in each, what of it is durable, what may be shown.

Only durable entries are ever shown, settled or signed (`LOG-1`): an entry that a crash could
still take back must not be on any checkpoint. Old sessions are never appended to. Must not know
receipts, the ledger or the journal's form.
"""

from __future__ import annotations

from collections.abc import Iterator

from probatum.errors import Misuse, Refusal
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.eip712 import Domain
from probatum.protocol.hash_rows import HASH_BYTES, HashRow, Shelf
from probatum.protocol.merkle import MerkleLog, Proof, leaf_hash
from probatum.protocol.notes import Checkpoint, log_origin, sign_checkpoint
from probatum.protocol.primitives import Address, Digest, OperatingKey, make_digest
from probatum.protocol.tiles import (
    TILE_WIDTH,
    encode_entry_bundle,
    parse_tile_path,
    tile_bytes,
)

__all__ = ["Logbook", "SessionLog"]


class SessionLog:
    """One session: its entries, their tree, and how many are durable."""

    def __init__(self, session: int, key: OperatingKey, shelf: Shelf | None = None) -> None:
        """Make an empty log that the given operating key speaks for; old hashes go to a shelf."""
        self.session = session
        self.key = key
        self.durable = 0
        self.opener: Digest | None = None
        """What the life drew that may append; None for a session of an earlier life."""
        self._entries = HashRow(shelf)
        self._tree = MerkleLog(shelf)

    def __len__(self) -> int:
        """Count the entries, durable or not."""
        return len(self._tree)

    def append(self, entry: Digest) -> int:
        """Append an entry and return its index; it is not durable yet."""
        self._entries.append(entry)
        return self._tree.append(leaf_hash(entry))

    def mark_durable(self, size: int) -> None:
        """Say that the first `size` entries are on disk."""
        if size > len(self):
            raise Misuse("log.not-so-long", f"{size} entries cannot be durable of {len(self)}")
        self.durable = max(self.durable, size)

    def get_root(self, size: int) -> Digest:
        """Compute the root at a size. Raises Refusal `merkle.bad-range`."""
        return self._tree.root(size)

    def get_consistency(self, old_size: int, size: int) -> Proof:
        """Build a consistency proof. Raises Refusal `merkle.bad-range`."""
        return self._tree.consistency_proof(old_size, size)

    def get_inclusion(self, index: int, size: int) -> Proof:
        """Build an inclusion proof. Raises Refusal `merkle.bad-range`."""
        return self._tree.inclusion_proof(index, size)

    def get_entry(self, index: int) -> Digest:
        """Get an entry. Raises Refusal `merkle.bad-range`."""
        if not 0 <= index < len(self):
            raise Refusal("merkle.bad-range", f"the log has {len(self)} entries, not {index + 1}")
        return make_digest(self._entries.get(index, index + 1))

    def get_tile(self, path: str) -> bytes:
        """Get the bytes of a tile or of an entry bundle, of durable entries only.

        Raises:
            Refusal: `tile.bad-path`, `tile.not-there`.
        """
        name = parse_tile_path(path)
        level = name.level or 0
        last = (TILE_WIDTH * name.index + name.width) << (8 * level)
        if last > self.durable:
            raise Refusal("tile.not-there", f"the log has no {path} yet")
        if name.level is not None:
            return tile_bytes(self._tree, name.level, name.index, name.width)
        start = TILE_WIDTH * name.index
        entries = self._entries.get(start, start + name.width)
        return encode_entry_bundle(
            [entries[place : place + HASH_BYTES] for place in range(0, len(entries), HASH_BYTES)]
        )


class Logbook:
    """All sessions of one operator's node."""

    def __init__(
        self,
        domain: Domain,
        operator: Address,
        signer: OperatingSigner,
        shelf: Shelf | None = None,
    ) -> None:
        """Make a book without sessions; what is old in them goes to the shelf, if there is one."""
        self._shelf = shelf
        self._domain = domain
        self._operator = operator
        self._signer = signer
        self._logs: dict[int, SessionLog] = {}

    def open(self, session: int, key: OperatingKey) -> SessionLog:
        """Begin a session.

        Raises:
            Misuse: `log.session-twice`: a number is used once (`LOG-1`).
        """
        if session in self._logs:
            raise Misuse("log.session-twice", f"session {session} was begun before")
        log = SessionLog(session, key, self._shelf)
        self._logs[session] = log
        return log

    def get(self, session: int) -> SessionLog | None:
        """Look a session up."""
        return self._logs.get(session)

    def __iter__(self) -> Iterator[SessionLog]:
        """Iterate over the sessions, oldest first."""
        return iter([self._logs[session] for session in sorted(self._logs)])

    def sign_checkpoint(self, log: SessionLog) -> bytes:
        """Sign a checkpoint of the durable entries of a session.

        Raises:
            Refusal: `log.key-replaced` if the session's key is not held any more.
        """
        if log.key != self._signer.key:
            raise Refusal(
                "log.key-replaced",
                f"session {log.session} was registered under a key that this node does not hold",
                hint="start the node with that key once, so that its log can be settled",
            )
        origin = log_origin(self._domain, self._operator, log.session)
        size = log.durable
        return sign_checkpoint(
            Checkpoint(origin=origin, size=size, root=log.get_root(size)), self._signer
        )

    def read(self, session: int, path: str) -> bytes:
        """Get a file of a session: ``checkpoint`` or a tile path.

        Raises:
            Refusal: `log.unknown-session`, `log.key-replaced`, `tile.bad-path`,
                `tile.not-there`.
        """
        log = self._logs.get(session)
        if log is None:
            raise Refusal("log.unknown-session", f"this node has no log session {session}")
        return self.sign_checkpoint(log) if path == "checkpoint" else log.get_tile(path)
