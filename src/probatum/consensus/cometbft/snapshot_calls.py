"""ABCI's four calls about snapshots, over a shelf and a store (`SNAP-1`).

Must not know how a snapshot is cut or proven (`snapshots`), nor where a shelf keeps its chunks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, TypeAlias

from probatum.consensus import tables
from probatum.consensus.chain.opening import begin
from probatum.consensus.cometbft.application import Answer
from probatum.consensus.cometbft.messages import (
    RequestApplySnapshotChunk,
    RequestLoadSnapshotChunk,
    RequestOfferSnapshot,
    ResponseApplySnapshotChunk,
    ResponseOfferSnapshot,
)
from probatum.consensus.cometbft.parts import ApplySnapshotResult, OfferSnapshotResult, Snapshot
from probatum.consensus.cometbft.snapshots import (
    FORMAT,
    Restoring,
    SnapshotHead,
    clear_unfinished,
    mark_unfinished,
    open_snapshot,
)
from probatum.consensus.engine import Store
from probatum.errors import Refusal
from probatum.ledger.genesis import Genesis, get_domain
from probatum.protocol.hashing import sha256

__all__ = ["Kept", "Shelf", "SnapshotCalls", "Work"]

Work: TypeAlias = Callable[[Callable[[], None]], Answer[None]]
_LISTED: Final = 10
"""The engine offers no more than so many to a peer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A snapshot on a shelf; `metadata` is an encoded `SnapshotHead` of so many chunks."""

    height: int
    chunks: int
    metadata: bytes


class Shelf(Protocol):
    """Where snapshots are kept."""

    def list_kept(self) -> tuple[Kept, ...]:
        """List the snapshots that are whole, newest first."""

    def load(self, height: int, chunk: int) -> bytes | None:
        """Load a chunk, None if it is not there."""


class SnapshotCalls:
    """Answers the engine about snapshots, and restores one."""

    def __init__(
        self,
        store: Store,
        genesis: Genesis,
        shelf: Shelf | None,
        reopen: Callable[[], None],
        *,
        work: Work = lambda job: job(),
        oldest: int = 0,
        tell: Callable[[Refusal], None] = lambda _: None,
    ) -> None:
        """Restore nothing yet.

        Args:
            store: Where a snapshot is restored.
            genesis: The genesis document.
            shelf: The snapshots that are kept here.
            reopen: Is called when the store is another's state than before.
            work: Does what takes long, now or later.
            oldest: A snapshot of a lower height is refused.
            tell: Is told why a snapshot or a chunk was refused.
        """
        self._work = work
        self._oldest = oldest
        self._tell = tell
        self._store = store
        self._genesis = genesis
        self._shelf = shelf
        self._reopen = reopen
        self._restoring: Restoring | None = None

    def list_kept(self) -> tuple[Snapshot, ...]:
        """List what peers may be given."""
        if self._shelf is None:
            return ()
        return tuple(
            Snapshot(
                height=kept.height,
                format=FORMAT,
                chunks=kept.chunks,
                hash=sha256(kept.metadata),
                metadata=kept.metadata,
            )
            for kept in self._shelf.list_kept()[:_LISTED]
        )

    def load(self, request: RequestLoadSnapshotChunk) -> bytes:
        """Load a chunk for a peer; empty if it is not kept."""
        if self._shelf is None or request.format != FORMAT:
            return b""
        return self._shelf.load(request.height, request.chunk) or b""

    def offer(self, request: RequestOfferSnapshot, height: int) -> ResponseOfferSnapshot:
        """Begin to restore a snapshot whose header is the proven one.

        Args:
            request: The snapshot, and the app hash that the engine's light client proved.
            height: Where the chain stands: only one that has not begun is restored, or one that a
                snapshot began and no block followed. An engine that dies before it has noted what
                was restored begins again, and would never come to an end.
        """
        shown = request.snapshot
        if shown is None or self._has_blocks(height):
            return ResponseOfferSnapshot(result=OfferSnapshotResult.ABORT)
        if shown.format != FORMAT:
            return ResponseOfferSnapshot(result=OfferSnapshotResult.REJECT_FORMAT)
        try:
            head = open_snapshot(get_domain(self._genesis), shown.metadata, request.app_hash)
            self._check_offer(shown, head)
        except Refusal as refusal:
            self._tell(refusal)
            return ResponseOfferSnapshot(result=OfferSnapshotResult.REJECT)
        if height:
            mark_unfinished(self._store)
            self._end()
        self._restoring = Restoring(self._store, head)
        return ResponseOfferSnapshot(result=OfferSnapshotResult.ACCEPT)

    def _has_blocks(self, height: int) -> bool:
        """Tell whether the last block is known here; a snapshot's own is not."""
        return self._store.get(tables.BLOCK, tables.height_key(height)) is not None

    def _check_offer(self, shown: Snapshot, head: SnapshotHead) -> None:
        """Check that a snapshot is what it is offered as, and worth having."""
        named = (shown.height, shown.chunks, shown.hash)
        if named != (head.header.height, len(head.chunks), sha256(shown.metadata)):
            raise Refusal("snapshot.other-names", "the snapshot is not what it is offered as")
        if shown.height < self._oldest:
            raise Refusal(
                "snapshot.too-old",
                f"the snapshot is of height {shown.height}, before {self._oldest}",
                hint="connect to peers that have a newer one",
            )

    def apply(self, request: RequestApplySnapshotChunk) -> Answer[ResponseApplySnapshotChunk]:
        """Take a chunk, if it is the one that the state has; after the last one all is there."""
        restoring = self._restoring
        if restoring is None:
            return ResponseApplySnapshotChunk(result=ApplySnapshotResult.ABORT)
        if request.index != restoring.taken:
            return _ask_again(restoring.taken)
        try:
            later = self._work(partial(restoring.take, request.chunk))
        except Refusal as refusal:
            return self._refuse(restoring, refusal, request.sender)
        if later is not None:
            return self._take_later(restoring, later, request.sender)
        return self._take_note(restoring)

    async def _take_later(
        self, restoring: Restoring, later: Awaitable[None], sender: str
    ) -> ResponseApplySnapshotChunk:
        try:
            await later
        except Refusal as refusal:
            return self._refuse(restoring, refusal, sender)
        return self._take_note(restoring)

    def _refuse(
        self, restoring: Restoring, refusal: Refusal, sender: str
    ) -> ResponseApplySnapshotChunk:
        """Have a chunk fetched from somebody else: who sent this one lies, or is broken."""
        self._tell(refusal)
        return _ask_again(restoring.taken, not_of=sender)

    def _take_note(self, restoring: Restoring) -> ResponseApplySnapshotChunk:
        if restoring.is_whole:
            restoring.finish()
            self._end()
        return ResponseApplySnapshotChunk(result=ApplySnapshotResult.ACCEPT)

    @property
    def is_restoring(self) -> bool:
        """Whether the store is of no use just now."""
        return self._restoring is not None

    def abandon(self) -> None:
        """Give up a snapshot that is under way: the engine that fetched it is gone."""
        if self._restoring is not None:
            self._end()

    def _end(self) -> None:
        """Leave a store of one height behind: the snapshot's, or again of none."""
        self._restoring = None
        clear_unfinished(self._store)
        begin(self._store, self._genesis)
        self._reopen()


def _ask_again(index: int, not_of: str = "") -> ResponseApplySnapshotChunk:
    return ResponseApplySnapshotChunk(
        result=ApplySnapshotResult.RETRY,
        refetch_chunks=(index,),
        reject_senders=(not_of,) if not_of else (),
    )
