"""Processes that end with their parent: started, awaited, watched, stopped, killed.

Every child inherits the read end of one pipe; nobody but the parent holds the other end, so a
parent that dies in any way (`kill -9` included) is an end of file that the child acts on. A signal
at parent's death (PR_SET_PDEATHSIG) is not used: it follows the *thread* that started the child.
Children have sessions of their own, so Ctrl-C reaches the parent alone, which stops them in order.
Must not know what the processes do.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from probatum.errors import Fault, Misuse

__all__ = ["Children", "Death", "describe_exit", "read_log_tail"]

READY_BYTES: Final = 64 * 1024
"""A ready line is one short line; a child that prints more is not well."""
LOG_BYTES: Final = 64 * 1024 * 1024
"""A log that is larger when its child starts is set aside (one old one is kept)."""
_TAIL_BYTES: Final = 16 * 1024
_TAIL_LINES: Final = 6
_PANIC_LINES: Final = 3
_POLL_S: Final = 0.02
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """A child that ended without being asked to.

    Attributes:
        name: Which.
        exit_code: As `subprocess` counts: below zero, the signal that ended it.
        last_words: The last lines of its log.
    """

    name: str
    exit_code: int
    last_words: tuple[str, ...]

    def __str__(self) -> str:
        """Say it in one paragraph."""
        words = "".join(f"\n    {line}" for line in self.last_words)
        return f"{self.name} {describe_exit(self.exit_code)}{words}"


@dataclass(slots=True, kw_only=True)
class _Child:
    process: subprocess.Popen[bytes]
    stdout: IO[bytes]
    log: Path
    log_begins: int = 0
    said: bytes = b""
    expected: bool = False


class Children:
    """The child processes of this one, by name. Not for several threads at once."""

    def __init__(self, logs: Path, inherited: tuple[int, ...] = ()) -> None:
        """Make an empty nursery.

        Args:
            logs: The folder that gets a file for each child.
            inherited: Descriptors that every child keeps open (a lock that outlives the parent).
        """
        self._logs = logs
        self._inherited = inherited
        self._children: dict[str, _Child] = {}
        self._read_end, self._write_end = os.pipe()

    def spawn(self, name: str, module: str, arguments: tuple[str, ...]) -> None:
        """Start ``python -m module arguments --parent-fd N``; its stderr goes to its log.

        Raises:
            Misuse: `children.running`.
            Fault: `children.not-started`.
        """
        if self.is_running(name):
            raise Misuse("children.running", f"{name} is running already")
        log = self.get_log(name)
        command = [sys.executable, "-P", "-m", module, *arguments]
        command += ["--parent-fd", str(self._read_end)]
        try:
            self._logs.mkdir(parents=True, exist_ok=True)
            if log.exists() and log.stat().st_size > LOG_BYTES:
                log.replace(log.with_suffix(".jsonl.old"))
            with log.open("ab") as stderr, _holding_signals_back():
                log_begins = os.fstat(stderr.fileno()).st_size
                process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    pass_fds=(self._read_end, *self._inherited),
                    start_new_session=True,
                )
                assert process.stdout is not None
                self._forget(name)
                self._children[name] = _Child(
                    process=process, stdout=process.stdout, log=log, log_begins=log_begins
                )
        except OSError as error:
            raise Fault("children.not-started", f"cannot start {name}: {error}") from None

    def wait_ready(self, name: str, deadline: float) -> dict[str, object]:
        """Wait until a child has printed its ready line, and return that line's object.

        Args:
            name: Which child.
            deadline: By `time.monotonic`.

        Raises:
            Fault: `children.died`, `children.not-ready`, with the child's last words.
        """
        child = self._children[name]
        while b"\n" not in child.said:
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._fail(name, "children.not-ready", "did not say that it is ready")
            self._listen(name, left)
        return self._read_ready(name)

    def poll_ready(self, name: str) -> dict[str, object] | None:
        """Return a child's ready line if it has printed it by now; errors as `wait_ready`."""
        if b"\n" not in self._children[name].said:
            self._listen(name, 0)
        return self._read_ready(name) if b"\n" in self._children[name].said else None

    def _listen(self, name: str, timeout_s: float) -> None:
        child = self._children[name]
        if len(child.said) > READY_BYTES:
            raise self._fail(name, "children.not-ready", "did not say that it is ready")
        if not select.select([child.stdout], [], [], timeout_s)[0]:
            return
        piece = os.read(child.stdout.fileno(), READY_BYTES)
        if not piece:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(timeout=2)
            said = describe_exit(child.process.poll())
            raise self._fail(name, "children.died", f"{said} before it was ready")
        child.said += piece

    def _read_ready(self, name: str) -> dict[str, object]:
        said = self._children[name].said
        try:
            line = json.loads(said.split(b"\n", 1)[0])
        except ValueError:
            line = None
        if not isinstance(line, dict) or line.get("ready") is not True:
            raise self._fail(name, "children.not-ready", "printed something else than a ready line")
        return line

    def is_running(self, name: str) -> bool:
        """Whether the child has been started and has not ended."""
        child = self._children.get(name)
        return child is not None and child.process.poll() is None

    def get_log(self, name: str) -> Path:
        """Where a child's log is or will be."""
        return self._logs / f"{name}.jsonl"

    def get_pid(self, name: str) -> int:
        """Process id of a child that was started."""
        return self._children[name].process.pid

    def get_exit_code(self, name: str) -> int | None:
        """What a child ended with, as `subprocess` counts; None while it runs."""
        return self._children[name].process.poll()

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a child; nothing happens if it has ended."""
        if self.is_running(name):
            with contextlib.suppress(ProcessLookupError):
                self._children[name].process.send_signal(number)

    def kill(self, name: str) -> None:
        """End a child at once (SIGKILL) and wait until it is gone."""
        child = self._children[name]
        child.expected = True
        child.process.kill()
        child.process.wait()

    def stop(self, names: tuple[str, ...], grace_s: float) -> tuple[str, ...]:
        """Ask children to stop; kill those that have not within `grace_s`, and name them."""
        running = [name for name in names if self.is_running(name)]
        for name in running:
            self._children[name].expected = True
            self.signal(name, signal.SIGTERM)
            # One that somebody halted could not hear it.
            self.signal(name, signal.SIGCONT)
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline and any(self.is_running(name) for name in running):
            time.sleep(_POLL_S)
        late = tuple(name for name in running if self.is_running(name))
        for name in late:
            self.kill(name)
        return late

    def find_dead(self) -> tuple[Death, ...]:
        """List children that ended of themselves, each once."""
        dead = []
        for name, child in sorted(self._children.items()):
            code = child.process.poll()
            if code is not None and not child.expected:
                child.expected = True
                words = read_log_tail(child.log, child.log_begins)
                dead.append(Death(name=name, exit_code=code, last_words=words))
        return tuple(dead)

    def close(self) -> None:
        """Kill what still runs and let go of everything. May be called twice."""
        for name in sorted(self._children):
            if self.is_running(name):
                self.kill(name)
            self._forget(name)
        for end in (self._read_end, self._write_end):
            if end >= 0:
                os.close(end)
        self._read_end = self._write_end = -1

    def _forget(self, name: str) -> None:
        child = self._children.pop(name, None)
        if child is not None:
            child.stdout.close()
            child.process.wait()

    def _fail(self, name: str, code: str, what: str) -> Fault:
        child = self._children[name]
        child.expected = True
        words = "".join(f"\n    {line}" for line in read_log_tail(child.log, child.log_begins))
        return Fault(code, f"{name} {what}{words}", hint=f"its log is {child.log}")


@contextlib.contextmanager
def _holding_signals_back() -> Iterator[None]:
    """Let signals that Python code heeds be heard afterwards.

    A child that is there and not noted yet, as its start is given up, would still be writing while
    everything else is tidied away. Signals are the main thread's.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []
    try:
        with contextlib.ExitStack() as stack:
            for number in _ENDING:
                handler = signal.getsignal(number)
                if callable(handler):
                    stack.callback(signal.signal, number, handler)
                    signal.signal(number, lambda which, _: heard.append(which))
            yield
    finally:
        for signalled in heard:
            signal.raise_signal(signalled)


def describe_exit(code: int | None) -> str:
    """Say how a process ended."""
    if code is None:
        return "went silent"
    if code < 0:
        try:
            return f"was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"was ended by signal {-code}"
    return f"ended with exit code {code}"


def read_log_tail(log: Path, begin: int = 0) -> tuple[str, ...]:
    """Read the last lines of a child's log, as people read them; none if there is no log.

    Of a Go program that panicked the last lines are where it was: what it said comes before.

    Args:
        log: The file.
        begin: Where it begins to count, in bytes: what was before is of an earlier life.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(begin, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            lines = file.read(_TAIL_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return ()
    lines = [line for line in lines if line.strip()]
    panic = [at for at, line in enumerate(lines) if line.startswith("panic: ")][-1:]
    last = lines[panic[0] :][:_PANIC_LINES] if panic else lines[-_TAIL_LINES:]
    return tuple(_shorten(line) for line in last)


def _shorten(line: str) -> str:
    try:
        entry = json.loads(line)
        text = f"{entry['level']}: {entry['code']}: {entry['message']}"
    except (ValueError, TypeError, KeyError):
        text = line
    return text[:300]
