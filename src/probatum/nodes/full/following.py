"""Who follows the chain: long polls that wait for a block, and what each is told.

Must not know transactions or timers' times: `machine` sets the timers and asks when they fire.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from probatum.consensus.engine import Chain
from probatum.errors import Refusal
from probatum.machine.budget import Held
from probatum.protocol import limits
from probatum.protocol.blocks import BlockView, Change
from probatum.protocol.encoding import decode
from probatum.protocol.messages import Follow, Followed
from probatum.protocol.primitives import Address
from probatum.protocol.records import ESCROW, EscrowRecord

__all__ = ["Followers"]

_BLOCKS: Final = 256
"""Blocks in one reply, as `Followed` bounds them."""
_READ_BYTES: Final = 4 * limits.MIB
"""A reply stops after the block with which so much has been looked through: telling a follower
that nothing concerned it costs as much as if everything had."""
_SNAPSHOT_BYTES: Final = limits.SNAPSHOT_BYTES
_SMALL_BYTES: Final = 256 * limits.KIB
"""Of snapshots above this there is one a block: reading a large one takes as long as a block."""


def _get_key(change: Change) -> bytes:
    return change.key


def _select(
    changes: tuple[Change, ...],
    follow: Follow,
    parties: Callable[[], Mapping[Address, tuple[int, ...]]],
) -> tuple[Change, ...]:
    """Pick what is under some prefixes, and some accounts' escrows, from a block's changes.

    Each prefix has one run of them: a thousand followers cost no thousand passes over a block.

    Args:
        changes: In key order.
        follow: What is asked for.
        parties: Says where whose escrows are; called only for who asks for some.
    """
    found: set[int] = set()
    for account in follow.escrows_of:
        found.update(parties().get(account, ()))
    for prefix in follow.prefixes:
        place = bisect_left(changes, prefix, key=_get_key)
        while place < len(changes) and changes[place].key.startswith(prefix):
            found.add(place)
            place += 1
    return tuple(changes[place] for place in sorted(found))


def _list_parties(changes: tuple[Change, ...]) -> Mapping[Address, tuple[int, ...]]:
    """List whose escrows a block changed, and where among its changes."""
    found: dict[Address, list[int]] = {}
    place = bisect_left(changes, ESCROW, key=_get_key)
    while place < len(changes) and changes[place].key.startswith(ESCROW):
        value = changes[place].value
        if value is not None:
            record = decode(EscrowRecord, value, limit_bytes=limits.STATE_VALUE_BYTES)
            for account in {record.payer, record.payee}:
                found.setdefault(account, []).append(place)
        place += 1
    return {account: tuple(places) for account, places in found.items()}


def _weigh(changes: tuple[Change, ...]) -> int:
    return sum(len(change.key) + len(change.value or b"") for change in changes)


class Followers:
    """The long polls of one full node."""

    def __init__(self, chain: Chain, *, limit: int) -> None:
        """Make it with room for `limit` polls that wait."""
        self._chain = chain
        self._waiting: Held[str, Follow] = Held(limit=limit, code="full.busy")
        self._large_at = 0
        self._parties: tuple[tuple[Change, ...], Mapping[Address, tuple[int, ...]]] = ((), {})

    def answer(self, follow: Follow) -> Followed | None:
        """Answer a poll if there is anything to tell; None if it has to wait.

        A poll from height 0 gets everything (what genesis put there is no block's change), and
        so does one from a height that is no longer kept, or that the chain has not reached: its
        sender must see that the chain is behind what it knows.

        Raises:
            Refusal: `full.snapshot-too-large`; `full.busy` for a second large one at one height.
        """
        height = self._chain.height
        if height in (0, follow.after):
            return None
        if not 0 < follow.after < height:
            return self._make_snapshot(follow)
        views: list[BlockView] = []
        read, last = 0, min(height, follow.after + _BLOCKS)
        for number in range(follow.after + 1, last + 1):
            header, changes = self._chain.get_header(number), self._chain.get_changes(number)
            if header is None or changes is None:
                return self._make_snapshot(follow)
            parties = partial(self._list_parties, changes)
            views.append(BlockView(header=header, changes=_select(changes, follow, parties)))
            if number < last and (read := read + _weigh(changes)) > _READ_BYTES:
                break
        return Followed(snapshot=False, blocks=tuple(views))

    def _list_parties(self, changes: tuple[Change, ...]) -> Mapping[Address, tuple[int, ...]]:
        """List whose escrows a block changed; of the last block all followers ask."""
        known, parties = self._parties
        if known is not changes:
            parties = _list_parties(changes)
            self._parties = (changes, parties)
        return parties

    def _make_snapshot(self, follow: Follow) -> Followed:
        header = self._chain.last_header
        assert header is not None, "no snapshot before the first block"
        height = self._chain.height
        limit_bytes = _SMALL_BYTES if self._large_at == height else _SNAPSHOT_BYTES
        found: dict[bytes, Change] = {}
        size = 0
        listings = (
            *(partial(self._chain.list_items, prefix) for prefix in follow.prefixes),
            *(partial(self._chain.list_escrows, account) for account in follow.escrows_of),
        )
        for read in listings:
            after, more = b"", True
            while more:
                items, more = read(after, limits.LISTED_RECORDS)
                page = tuple(Change(key=item.key, value=item.value) for item in items)
                found.update((change.key, change) for change in page)
                size += _weigh(page)
                if size > _SMALL_BYTES:
                    self._large_at = height
                if size > limit_bytes:
                    raise _too_large(limit_bytes)
                after = page[-1].key if page else b""
        changes = tuple(found[key] for key in sorted(found))
        return Followed(snapshot=True, blocks=(BlockView(header=header, changes=changes),))

    def hold(self, conversation: str, follow: Follow) -> None:
        """Let a poll wait. Raises Refusal `full.busy`."""
        self._waiting.add(conversation, follow)

    def release(self, conversation: str) -> bool:
        """Let go of a poll; tells whether it was waiting."""
        return self._waiting.remove(conversation) is not None

    def get_waiting(self) -> tuple[tuple[str, Follow], ...]:
        """List the polls that wait, in order of arrival."""
        return tuple(self._waiting.items())


def _too_large(limit_bytes: int) -> Refusal:
    if limit_bytes < _SNAPSHOT_BYTES:
        return Refusal("full.busy", "a large snapshot was read for this block already")
    return Refusal(
        "full.snapshot-too-large",
        f"the records under these prefixes exceed {limit_bytes} bytes",
        hint="follow fewer prefixes, or list them page by page",
    )
