"""What a driver grants wishes with, and how a party ends. Must not know any party."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from probatum.machine.wishes import Halt, Report
from probatum.nodes.shell.computing import Computer, Writer
from probatum.nodes.shell.recording import RecordSink
from probatum.protocol.messages import Message

__all__ = ["Ended", "Row", "TableSink", "Transport", "World"]

Row: TypeAlias = tuple[str, bytes, bytes | None]
"""(table, key, value); a value of None deletes."""


class TableSink(Protocol):
    """Where commit wishes go."""

    def commit(self, rows: tuple[Row, ...], /) -> None:
        """Write rows atomically and flush them."""
        ...


class Transport(Protocol):
    """How messages reach other parties."""

    def converse(
        self, endpoint: str, message: Message, timeout_s: float
    ) -> AsyncGenerator[Message, None]:
        """Open a conversation, yield its replies within a time; raises Fault or Refusal."""
        ...

    async def close(self) -> None:
        """Let go of its connections."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything that a machine's wishes may touch; what a party never wishes for is None."""

    clock_ms: Callable[[], int]
    entropy: Callable[[], bytes]
    report: Callable[[Report], None]
    journal: RecordSink | None = None
    tables: TableSink | None = None
    transport: Transport | None = None
    compute: Computer | None = None
    writer: Writer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a party ended of its own will; `halt` is None after an orderly stop."""

    halt: Halt | None
