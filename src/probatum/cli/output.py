"""What a command prints: one JSON document for programs, or lines and tables for people.

Results go to standard output, everything else to standard error. Must not know any command.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

__all__ = [
    "drop_output",
    "note",
    "print_facts",
    "print_json",
    "print_lines",
    "print_table",
    "progress_bar",
    "say_what_can_be_said",
    "waiting",
]


_CONTROLS: Final = {
    mark: ascii(chr(mark))[1:-1]
    for mark in (*range(32), *range(127, 160))
    if chr(mark) not in "\t\n"
}
"""As escapes: what a stranger wrote may stand in any line, and must not move a cursor."""


def say_what_can_be_said(*, as_json: bool) -> None:
    """Print a question mark for what the terminal's encoding lacks, rather than fail over it.

    JSON is UTF-8 whatever the terminal's encoding is (RFC 8259), since a program reads it.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if as_json and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")


def drop_output() -> None:
    """Write nothing more to standard output, not even when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_json(document: Any) -> None:
    """Print one JSON document, indented, keys in the order given."""
    text = msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
    sys.stdout.write(text + "\n")


def print_lines(lines: Iterable[str]) -> None:
    """Print lines."""
    sys.stdout.writelines(f"{line.translate(_CONTROLS)}\n" for line in lines)


def note(line: str) -> None:
    """Say something beside the result."""
    sys.stderr.write(line.translate(_CONTROLS) + "\n")


def print_facts(facts: Mapping[str, object]) -> None:
    """Print names and values in two columns."""
    width = max(map(len, facts), default=0)
    print_lines(f"{name:<{width}}  {value}" for name, value in facts.items())


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print a table, or a sentence if it has no rows; whole values where nobody watches."""
    listed = [[str(cell).translate(_CONTROLS) for cell in row] for row in rows]
    if not listed:
        print_lines((empty,))
        return
    from rich.console import Console  # noqa: PLC0415 - costs more than most commands
    from rich.table import Table  # noqa: PLC0415 - ditto
    from rich.text import Text  # noqa: PLC0415 - ditto

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in listed:
        table.add_row(*map(Text, row))  # brackets are no markup here
    if console.is_terminal:
        console.print(table)
        return
    console.width = 4096
    with console.capture() as capture:
        console.print(table)
    print_lines(line.rstrip() for line in capture.get().splitlines())


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show that something is under way, if somebody watches."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console  # noqa: PLC0415 - costs more than most commands

    with Console(stderr=True).status(what):
        yield


@contextlib.contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show how far something is, if somebody watches; gives what is told: done, and of how much."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console  # noqa: PLC0415 - costs more than most commands
    from rich.progress import (  # noqa: PLC0415 - ditto
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what)
        yield lambda done, total: progress.update(task, completed=done, total=total)
