"""One party's disk: a journal and a table store that survive the party, and what a crash takes.

As in the shell, records are flushed in groups: those that came before a flush began are durable
together when it ends. A crash keeps a prefix of what was not yet flushed, cut between records: a
torn record fails its checksum when the journal is read again and ends it there. Commits are
atomic and in order, so a crash keeps a prefix of whole commits. Journal and tables promise no
order between them. Must not know what the records mean.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from probatum.consensus.chain.memory_store import MemoryStore
from probatum.storm.loop import Loop
from probatum.storm.trace import Trace

__all__ = ["Disk", "DiskPace", "Rows"]

Rows: TypeAlias = tuple[tuple[str, bytes, bytes | None], ...]
"""(table, key, value) of one commit; a value of None deletes."""
OnDurable: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskPace:
    """How long a flush takes, in virtual milliseconds, and how often one is slow."""

    flush_ms: tuple[int, int] = (1, 8)
    slow_rate: float = 0.01
    slow_ms: int = 400


@dataclass(slots=True)
class _Write:
    ticket: str
    records: tuple[bytes, ...] = ()
    rows: Rows = ()


@dataclass(slots=True)
class _Queue:
    """Writes that wait for one file's flush; `flushing` counts those that the current one takes."""

    writes: list[_Write] = field(default_factory=list)
    flushing: int = 0


class Disk:
    """A journal and tables, with writes under way.

    Attributes:
        journal: Durable records in order.
        tables: Durable rows: table, key, value.
        store: The tables as an engine reads them.
    """

    def __init__(
        self,
        *,
        loop: Loop,
        chance: random.Random,
        trace: Trace,
        pace: DiskPace,
        owner: str,
    ) -> None:
        """Make an empty disk; `owner` names the party in the trace."""
        self.journal: list[bytes] = []
        self.tables: dict[str, dict[bytes, bytes]] = {}
        self.store = MemoryStore(self.tables)
        self._loop = loop
        self._chance = chance
        self._trace = trace
        self._pace = pace
        self._owner = owner
        self._life = 0
        self._queues = {"journal": _Queue(), "tables": _Queue()}

    def append(self, ticket: str, records: tuple[bytes, ...], on_durable: OnDurable) -> None:
        """Append records; `on_durable` is called with the ticket once they are safe."""
        self._add("journal", _Write(ticket, records=records), on_durable)

    def commit(self, ticket: str, rows: Rows, on_durable: OnDurable) -> None:
        """Write rows atomically; `on_durable` is called with the ticket once they are safe."""
        self._add("tables", _Write(ticket, rows=rows), on_durable)

    def crash(self) -> None:
        """Lose power: of what was not yet flushed, a prefix stays."""
        self._life += 1
        for name, queue in sorted(self._queues.items()):
            if name == "journal":
                records = [record for write in queue.writes for record in write.records]
                kept = self._chance.randint(0, len(records))
                self.journal.extend(records[:kept])
                lost = len(records) - kept
            else:
                kept = self._chance.randint(0, len(queue.writes))
                for write in queue.writes[:kept]:
                    self.store.commit(write.rows)
                lost = len(queue.writes) - kept
            self._trace.note(self._loop.now_ms, f"{self._owner} {name} keeps {kept} loses {lost}")
            self._trace.count(f"{name} writes lost", lost)
            if kept and lost:
                self._trace.count("torn writes")
            self._queues[name] = _Queue()

    def _add(self, name: str, write: _Write, on_durable: OnDurable) -> None:
        queue = self._queues[name]
        queue.writes.append(write)
        if queue.flushing == 0:
            self._flush(name, on_durable)

    def _flush(self, name: str, on_durable: OnDurable) -> None:
        queue = self._queues[name]
        queue.flushing = len(queue.writes)
        life = self._life
        delay_ms = self._chance.randint(*self._pace.flush_ms)
        if self._chance.random() < self._pace.slow_rate:
            delay_ms += self._pace.slow_ms

        def end() -> None:
            if life != self._life:
                return
            done = queue.writes[: queue.flushing]
            del queue.writes[: queue.flushing]
            queue.flushing = 0
            for write in done:
                self.journal.extend(write.records)
                if write.rows:
                    self.store.commit(write.rows)
            if queue.writes:
                self._flush(name, on_durable)
            for write in done:
                on_durable(write.ticket)

        self._loop.after(delay_ms, end)
