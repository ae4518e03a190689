"""The bundles of released requests: pending until settled, then kept while there is room.

Pending ones are not forgotten: a gateway that can hold no more takes no more requests. Nodes that
never settle would so shut it for good, so it gives up overdue receipts once they crowd the rest.
Final ones are forgotten oldest first; clients have theirs. Must not
know how a bundle is settled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from probatum.errors import Refusal
from probatum.machine.budget import Held, Recent
from probatum.nodes.gateway.journal_records import (
    BoughtRecord,
    ChargedRecord,
    GivenUpRecord,
    ReleasedRecord,
    SettledRecord,
    SpentRecord,
    SummaryRecord,
    TabRecord,
    decode_journal_record,
)
from probatum.protocol.bundles import add_settlement
from probatum.protocol.primitives import RequestId

__all__ = ["BundleStore"]


class BundleStore:
    """Bundles by request id."""

    def __init__(self, *, pending_limit: int, final_bytes: int) -> None:
        """Make an empty store."""
        self._pending_limit = pending_limit
        self._pending: Held[RequestId, bytes] = Held(limit=pending_limit, code="gateway.busy")
        self._final: Recent[RequestId, tuple[bool, bytes]] = Recent(
            limit=final_bytes, weigh=lambda entry: len(entry[1])
        )

    def recover(
        self,
        journal: Iterable[bytes],
        take_charge: Callable[[ChargedRecord | SummaryRecord], None] = lambda _: None,
    ) -> None:
        """Take the journal's records in order; hand on what was charged.

        Raises:
            Refusal: `encoding.*`.
        """
        for data in journal:
            match decode_journal_record(data):
                case ReleasedRecord() as released:
                    self.add(released.request_id, released.bundle, answered=released.answered)
                case ChargedRecord() as charged:
                    self.add(charged.request_id, charged.bundle, answered=True)
                    take_charge(charged)
                case TabRecord() | SpentRecord() | BoughtRecord() as summary:
                    take_charge(summary)
                case SettledRecord() as settled:
                    self.settle(settled.request_id, settled.settlement)
                case GivenUpRecord() as given_up:
                    self.give_up(given_up.request_id)

    @property
    def crowd(self) -> int:
        """How many pending bundles there are beyond half of the room."""
        return max(0, len(self._pending) - self._pending_limit // 2)

    def check_room(self, opened: int) -> None:
        """Check that bundles of so many open requests would find room.

        Raises:
            Refusal: `gateway.busy`.
        """
        if len(self._pending) + opened >= self._pending_limit:
            raise Refusal(
                "gateway.busy",
                f"{len(self._pending)} receipts wait for settlement",
                hint="wait until the nodes have settled their logs",
            )

    def add(self, request_id: RequestId, bundle: bytes, *, answered: bool) -> None:
        """Add a released request; one that failed has nothing to settle. Raises `gateway.busy`."""
        if answered:
            self._pending.add(request_id, bundle)
        else:
            self._final.put(request_id, (True, bundle))

    def settle(self, request_id: RequestId, settlement: bytes) -> None:
        """Make a pending bundle a settled one."""
        bundle = self._pending.remove(request_id)
        if bundle is not None:
            self._final.put(request_id, (True, add_settlement(bundle, settlement)))

    def give_up(self, request_id: RequestId) -> None:
        """Wait no more for a receipt to be settled; the bundle stays pending."""
        bundle = self._pending.remove(request_id)
        if bundle is not None:
            self._final.put(request_id, (False, bundle))

    def get(self, request_id: RequestId) -> tuple[bool, bytes] | None:
        """Look a bundle up: whether it is final, and its bytes."""
        final = self._final.get(request_id)
        if final is not None:
            return final
        pending = self._pending.get(request_id)
        return None if pending is None else (False, pending)

    def list_pending(self) -> tuple[tuple[RequestId, bytes], ...]:
        """List what waits for settlement, oldest first."""
        return tuple(self._pending.items())
