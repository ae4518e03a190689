"""Sealing blocks: from what a block did to the rows that keep it.

Pure functions of values; the engine owns the state. Must not know pools or signers. Read next:
`engine`.
"""

from __future__ import annotations

from collections.abc import Iterator

from probatum.consensus import tables
from probatum.consensus.engine import Row
from probatum.ledger.pages import NODE_ID_BYTES
from probatum.ledger.statemap import MapRoot, TreeUpdate
from probatum.protocol import limits
from probatum.protocol.blocks import (
    Block,
    BlockView,
    Change,
    TransactionResult,
    compute_results_root,
    compute_transactions_root,
)
from probatum.protocol.eip712 import Domain
from probatum.protocol.encoding import LedgerValue, decode, encode
from probatum.protocol.headers import Header, SignedHeader, compute_header_hash
from probatum.protocol.messages import Outcome
from probatum.protocol.primitives import Digest, Height, Index
from probatum.protocol.records import ESCROW, EscrowRecord
from probatum.protocol.transactions.signed import compute_transaction_hash

__all__ = [
    "Head",
    "decode_outcome",
    "list_outcomes",
    "make_block_rows",
    "make_decision_rows",
    "make_header",
    "make_party_rows",
    "make_record_rows",
    "make_seal_rows",
    "make_state_rows",
    "split_ids",
]


class Head(LedgerValue, frozen=True, kw_only=True):
    """Where the store stands: the last height and the state map's root."""

    height: Height
    version: Index
    node_id: bytes
    digest: Digest

    @property
    def root(self) -> MapRoot:
        """The state map's root as the map knows it."""
        return MapRoot(version=self.version, node_id=self.node_id, digest=self.digest)


def split_ids(data: bytes) -> tuple[bytes, ...]:
    """Split the ids of tree nodes that were stored end to end."""
    return tuple(data[i : i + NODE_ID_BYTES] for i in range(0, len(data), NODE_ID_BYTES))


def decode_outcome(transaction_hash: Digest, data: bytes) -> Outcome:
    """Read a row of the table of outcomes."""
    return Outcome(
        transaction_hash=transaction_hash,
        height=int.from_bytes(data[:8], "big"),
        code=data[8:].decode("ascii"),
    )


def make_header(
    domain: Domain,
    before: Header | None,
    block: Block,
    results: tuple[TransactionResult, ...],
    state_root: Digest,
) -> Header:
    """Make the header of a block that was applied (`HEADER-1`).

    Args:
        domain: The chain.
        before: The header before, None for the first block.
        block: The block.
        results: What came of each transaction.
        state_root: Root of the state after it.
    """
    return Header(
        chain_id=domain.chain_id,
        genesis_hash=domain.genesis_hash,
        height=block.height,
        previous=compute_header_hash(before) if before else domain.genesis_hash,
        state_root=state_root,
        transactions_root=compute_transactions_root(block.transactions),
        results_root=compute_results_root(results),
        time_ms=block.time_ms,
    )


def list_outcomes(
    block: Block, results: tuple[TransactionResult, ...], charged: tuple[bool, ...]
) -> tuple[Outcome, ...]:
    """List the final outcomes: of the transactions that paid their fee."""
    return tuple(
        Outcome(
            transaction_hash=compute_transaction_hash(data),
            height=block.height,
            code=result.code,
        )
        for data, result, paid in zip(block.transactions, results, charged, strict=True)
        if paid
    )


def make_state_rows(
    height: int, changes: tuple[Change, ...], update: TreeUpdate, stale: tuple[bytes, ...]
) -> Iterator[Row]:
    """Yield the rows that bring records and tree from one height to the next.

    Args:
        height: The new height.
        changes: Records written.
        update: The tree's update by those changes.
        stale: Nodes that only the root *before* the last one reached: they go now, so that the
            last two roots stay provable.
    """
    yield from make_record_rows(height, changes, update)
    yield tables.META, tables.STALE_KEY, b"".join(update.stale_nodes)
    for node_id in stale:
        yield tables.NODE, node_id, None


def make_record_rows(height: int, changes: tuple[Change, ...], update: TreeUpdate) -> Iterator[Row]:
    """Yield the rows of a new state: head, records, new nodes; nothing that was is deleted."""
    root = update.root
    head = Head(height=height, version=root.version, node_id=root.node_id, digest=root.digest)
    yield tables.META, tables.HEAD_KEY, encode(head)
    for change in changes:
        yield tables.RECORD, change.key, change.value
        if change.key.startswith(ESCROW) and change.value is not None:
            yield from make_party_rows(change.key, change.value, opened_at=height)
    for node_id, node in update.new_nodes.items():
        yield tables.NODE, node_id, node


def make_party_rows(key: bytes, value: bytes, *, opened_at: Height | None = None) -> Iterator[Row]:
    """Yield the rows by which an escrow is found from its payer and its payee.

    Args:
        key: The escrow's.
        value: Its record.
        opened_at: Only if it was opened at this height: these rows never change.
    """
    record = decode(EscrowRecord, value, limit_bytes=limits.STATE_VALUE_BYTES)
    if opened_at in (None, record.opened_at):
        for account in (record.payer, record.payee):
            yield tables.META, tables.PARTY + account + key, b""


def make_block_rows(
    header: SignedHeader,
    block: Block,
    changes: tuple[Change, ...],
    outcomes: tuple[Outcome, ...],
    keep_changes: int,
) -> Iterator[Row]:
    """Yield the rows that keep a block, its header, changes and outcomes."""
    yield from make_decision_rows(block, outcomes)
    yield from make_seal_rows(header, changes, keep_changes)


def make_decision_rows(block: Block, outcomes: tuple[Outcome, ...]) -> Iterator[Row]:
    """Yield the rows that keep a block and its outcomes."""
    key = tables.height_key(block.height)
    yield tables.BLOCK, key, encode(block)
    for outcome in outcomes:
        yield tables.OUTCOME, outcome.transaction_hash, key + outcome.code.encode("ascii")


def make_seal_rows(
    header: SignedHeader, changes: tuple[Change, ...], keep_changes: int
) -> Iterator[Row]:
    """Yield the rows that keep a signed header and what its block changed."""
    height = header.header.height
    key = tables.height_key(height)
    yield tables.HEADER, key, encode(header)
    yield tables.CHANGES, key, encode(BlockView(header=header, changes=changes))
    if height > keep_changes:
        yield tables.CHANGES, tables.height_key(height - keep_changes), None
