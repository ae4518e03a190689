"""Filling a block from the pool: what fits and can be applied, in the pool's order (`ABCI-2`).

Every engine proposes by these rules. Must not know which engine, nor what a transaction does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from probatum.consensus.engine import Dropped
from probatum.consensus.mempool import Entry, Mempool
from probatum.errors import Refusal
from probatum.ledger.apply import BlockRun
from probatum.ledger.fees import count_shares
from probatum.protocol import limits
from probatum.protocol.primitives import Address
from probatum.protocol.transactions.kinds import Transfer

__all__ = ["FRAME_BYTES", "Filled", "expire", "fill_block"]

FRAME_BYTES: Final = 5
"""At most what MessagePack puts before one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What was applied, and what turned out not to be includable.

    Attributes:
        entries: Taken, in order.
        codes: What came of each.
        dropped: Tried in vain, or waiting behind one that was.
    """

    entries: tuple[Entry, ...]
    codes: tuple[str, ...]
    dropped: tuple[Dropped, ...]


def expire(entry: Entry, why: str) -> Dropped:
    """Say that a transaction's turn never came."""
    return Dropped(transaction_hash=entry.hash, code="mempool.expired", message=why)


def fill_block(
    run: BlockRun, pool: Mempool, *, most: int, room_bytes: int, frame_bytes: int = FRAME_BYTES
) -> Filled:
    """Apply what fits into a block, transfers and up to `limits.BLOCK_CHECKS` others.

    Whoever has no part in that last bound is not kept waiting by it. It is one of proposals alone:
    a block that has more is as good.

    Args:
        run: The block, begun.
        pool: What waits; nothing is taken out.
        most: How many transactions it may have, a voucher counting as one too. Where that is all
            that a block may hold, it is never exceeded: whatever is taken alone has less.
        room_bytes: How long they may be together.
        frame_bytes: What each takes beside its own bytes.
    """
    entries: list[Entry] = []
    codes: list[str] = []
    dropped: list[Dropped] = []
    stuck: set[Address] = set()
    checks = limits.BLOCK_CHECKS
    for entry in pool.iterate(stuck):
        shares, size = count_shares(entry.transaction.body), len(entry.data) + frame_bytes
        # One that has more shares than are ever left is taken alone: else it would wait for ever.
        if size > room_bytes or (shares > most and entries):
            break
        check = 0 if isinstance(entry.transaction.body, Transfer) else 1
        if check > checks:
            stuck.add(entry.transaction.sender)
            continue
        try:
            code = run.apply(entry.transaction)
        except Refusal as refusal:
            stuck.add(entry.transaction.sender)
            dropped.append(
                Dropped(transaction_hash=entry.hash, code=refusal.code, message=refusal.message)
            )
            # They would hold their places for nothing: an account empties itself cheaply.
            dropped += _list_behind(pool.list_behind(entry))
            continue
        most -= shares
        checks -= check
        room_bytes -= size  # what is dropped takes none: it paid for none
        entries.append(entry)
        codes.append(code)
    return Filled(entries=tuple(entries), codes=tuple(codes), dropped=tuple(dropped))


def _list_behind(entries: Iterable[Entry]) -> list[Dropped]:
    why = "the account's transaction before this one was dropped"
    return [expire(entry, why) for entry in entries]
