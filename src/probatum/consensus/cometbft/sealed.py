"""The chain that others are told of: up to the last header that has a seal (`SEAL-1`).

The engine's header of the next height proves ours, so what is sealed lies a block behind what is
committed. Records of that height are read through what the later blocks replaced; its tree is
kept until the next seal. Must not know where seals come from, nor check them: `check_header` does,
for everybody. Read next: `tip`, `probatum.consensus.chain.view`.
"""

from __future__ import annotations

from collections.abc import Iterator

from probatum.consensus import tables
from probatum.consensus.chain.blocks import decode_outcome, make_seal_rows
from probatum.consensus.chain.view import ChainView, Records, decode_signed_header
from probatum.consensus.cometbft import undo
from probatum.consensus.cometbft.tip import Tip
from probatum.consensus.cometbft.verdicts import Verdicts
from probatum.consensus.engine import Row, Store
from probatum.errors import Misuse, Refusal
from probatum.ledger.statemap import MapRoot, MerkleMap
from probatum.protocol import limits
from probatum.protocol.blocks import Change
from probatum.protocol.eip712 import Domain
from probatum.protocol.headers import Header, SignedHeader
from probatum.protocol.primitives import Address, Digest, OperatingKey
from probatum.protocol.records import ESCROW

__all__ = ["SealedChain"]


class _Past:
    """The records before the last blocks."""

    __slots__ = ("_tip",)

    def __init__(self, tip: Tip) -> None:
        self._tip = tip

    def get(self, key: bytes) -> bytes | None:
        """Get a record as it was at the sealed height."""
        for block in self._tip.unsealed:
            if key in block.before:
                return block.before[key]
        return self._tip.records.get(key)

    def scan(self, prefix: bytes, after: bytes, limit: int) -> tuple[tuple[bytes, bytes], ...]:
        """List records as they were at the sealed height."""
        found: list[tuple[bytes, bytes]] = []
        ahead = limit
        while len(found) < limit:
            rows = self._tip.records.scan(prefix, after, ahead)
            # What changed is looked through as far as these rows reach, however much that is.
            end = rows[-1][0] if len(rows) == ahead else None
            past: dict[bytes, bytes | None] = dict(rows)
            for block in reversed(self._tip.unsealed):
                past.update((key, block.before[key]) for key in block.list_keys(prefix, after, end))
            for key in sorted(past):
                value = past[key]
                if value is not None:
                    found.append((key, value))
            if end is None:
                break
            # Many may be new here, made by a block that is not told of: they are passed by quickly.
            after, ahead = end, max(limit, min(2 * ahead, limits.LISTED_RECORDS))
        return tuple(found[:limit])


class SealedChain(ChainView):
    """What a full node under CometBFT tells of its chain.

    Implements `probatum.consensus.engine.Chain`.

    Attributes:
        last_header: The last sealed header, None before the first.
        is_restoring: Whether the store is on its way to become a snapshot's.
    """

    name = "cometbft"
    key: OperatingKey | None = None

    def __init__(self, store: Store, tip: Tip, verdicts: Verdicts, *, keep_changes: int) -> None:
        """Read past what a tip has committed since; `verdicts` has the pool."""
        super().__init__(store)
        self._verdicts = verdicts
        self._tip = tip
        self._keep_changes = keep_changes
        self._past = _Past(tip)
        self._left: tuple[bytes, ...] = ()
        self.last_header: SignedHeader | None = None
        self.is_restoring = False
        self.load()

    def load(self) -> None:
        """Read again where the store stands."""
        self._last_changes, self.is_restoring = None, False
        sealed_height = self._tip.sealed_height
        kept = undo.load_undo(self._store, sealed_height)
        self._left = () if kept is None else undo.split_stale(kept)
        data = self._store.get(tables.HEADER, tables.height_key(sealed_height))
        self.last_header = None if data is None else decode_signed_header(data)

    @property
    def height(self) -> int:
        """The last sealed height; 0 before the first, also after a snapshot was restored."""
        return self.last_header.header.height if self.last_header else 0

    @property
    def domain(self) -> Domain:
        """The chain."""
        return self._tip.domain

    @property
    def pending(self) -> int:
        """How many transactions wait."""
        return len(self._verdicts.pool)

    def is_pending(self, transaction_hash: Digest) -> bool:
        """Tell whether a transaction waits, or is in a block that is not sealed yet."""
        if transaction_hash in self._verdicts.pool:
            return True
        place = self._store.get(tables.OUTCOME, transaction_hash)
        return place is not None and decode_outcome(transaction_hash, place).height > self.height

    @property
    def _view(self) -> Records:
        self._check_caught_up()
        return self._past

    @property
    def _tree(self) -> MerkleMap:
        return MerkleMap(self._tip.nodes, self._check_caught_up())

    def _check_caught_up(self) -> MapRoot:
        """Get the root of the sealed height, if what came after it can be read past."""
        unsealed, height = self._tip.unsealed, self.height
        if self.is_restoring:
            raise Refusal(
                "full.catching-up",
                "this node is restoring a snapshot",
                hint="ask again in some minutes, or ask another full node",
            )
        if height == self._tip.height:
            return self._tip.root
        if not unsealed or unsealed[0].header.height != height + 1:
            raise Refusal(
                "full.catching-up",
                f"this node has proof of height {height} only, and is at {self._tip.height}",
                hint="ask again in a moment, or ask another full node",
            )
        return unsealed[0].root_before

    def _list_parties(self, account: Address, after: bytes, limit: int) -> tuple[bytes, ...]:
        # Escrows opened since are listed already, and are not there yet.
        fresh = {
            key
            for block in self._tip.unsealed
            for key in block.list_keys(ESCROW, b"", None)
            if block.before[key] is None
        }
        found = super()._list_parties(account, after, limit + len(fresh))
        return tuple(key for key in found if key not in fresh)[:limit]

    # Seals

    def get_unsealed_header(self) -> Header | None:
        """Get the header that can be sealed next; None if no block follows it yet.

        Raises:
            Fault: `store.corrupt`.
        """
        height = self._tip.sealed_height + 1
        return self._tip.load_header(height) if height < self._tip.height else None

    def make_rows(self, signed: SignedHeader) -> tuple[Row, ...]:
        """Say what keeps a seal, in one atomic step, then `advance`.

        Args:
            signed: The header that `get_unsealed_header` named, with a seal that was checked.
        """
        height = signed.header.height
        if signed.header != self.get_unsealed_header():
            raise Misuse("consensus.other-seal", f"height {height} is not to be sealed next")
        return (
            (tables.META, undo.get_header_key(height), None),
            undo.make_sealed_row(height),
            *self._make_rows(signed),
        )

    def _make_rows(self, signed: SignedHeader) -> Iterator[Row]:
        height, unsealed = signed.header.height, self._tip.unsealed
        # Until `advance` the height before is told, and proven: what only its tree reaches stays
        # for one more seal.
        yield from undo.make_forget_rows(height - 1, self._left)
        if unsealed and unsealed[0].header.height == height:
            yield from make_seal_rows(signed, self._list_changes(), self._keep_changes)
        else:
            # Too far behind for changes: who follows from here gets a snapshot.
            rows = make_seal_rows(signed, (), self._keep_changes)
            yield from (row for row in rows if row[0] != tables.CHANGES or row[2] is None)

    def _list_changes(self) -> tuple[Change, ...]:
        """List what the first unsealed block changed, as it left it."""
        first, *later = self._tip.unsealed
        if first.changes is not None:
            return first.changes
        changes: list[Change] = []
        for key in sorted(first.before):
            for block in later:
                if key in block.before:
                    value = block.before[key]
                    break
            else:
                value = self._tip.records.get(key)
            changes.append(Change(key=key, value=value))
        return tuple(changes)

    def advance(self, signed: SignedHeader) -> None:
        """Take note that a seal is on the disk."""
        height, unsealed = signed.header.height, self._tip.unsealed
        self._last_changes, self._left = None, ()
        if unsealed and unsealed[0].header.height == height:
            self._last_changes = self._list_changes()
            self._left = unsealed.popleft().stale
        self._tip.sealed_height = height
        self.last_header = signed
