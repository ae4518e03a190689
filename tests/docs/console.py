"""Reads ``console`` blocks out of documents and runs them as a reader would, in one shell.

A block holds commands (``$ …``, continued by a trailing backslash) and, below each, lines of the
output that the document promises: they must come in this order, other lines may stand between,
and ``…`` inside a line stands for anything. All blocks of one document run in one bash, so
variables, folders and background jobs last from block to block. ``<!-- not run: reason -->``
before a block exempts it, for what `is_exempt` lists and nothing else.
"""

from __future__ import annotations

import os
import re
import selectors
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

EXEMPT = re.compile(
    r"""make\ (?:VENV=\S+\ )?(?:test|check|nightly|soak|bench|network|lock|clean)(?:\ [A-Z]+=\S+)*
      | git\ clone\ .* | cd\ [\w.-]+
      | (?:sudo|apt-get|apt|dnf|brew|systemctl|journalctl|loginctl|ufw|useradd)\ .*
    """,
    re.VERBOSE,
)
FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>```+)(?P<language>[\w-]*)\s*$")
NOT_RUN = re.compile(r"^\s*<!-- not run: (?P<reason>.*?) -->\s*$")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
SHELLS = frozenset("bash sh shell zsh terminal".split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command of a document, and the lines that must come out."""

    line: int
    text: str
    promised: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block."""

    line: int
    language: str
    not_run: str
    lines: tuple[str, ...]

    def list_commands(self) -> list[Command]:
        """Split into commands and what each promises to print."""
        commands: list[Command] = []
        text, start, promised = "", 0, []
        going_on = False
        for number, line in enumerate(self.lines, self.line + 1):
            if going_on:
                text += "\n" + line.removeprefix("> ")
            elif line.startswith("$ "):
                if text:
                    commands.append(Command(line=start, text=text, promised=tuple(promised)))
                text, start, promised = line[2:], number, []
            elif line.strip():
                promised.append(line.strip())
                continue
            going_on = bool(text) and text.endswith("\\")
        if text:
            commands.append(Command(line=start, text=text, promised=tuple(promised)))
        return commands


def list_blocks(document: str) -> list[Block]:
    """Find every fenced block, with the comment that may exempt it."""
    blocks, open_at, ticks, language, indent = [], 0, "", "", 0
    taken: list[str] = []
    note = ""
    for number, line in enumerate(document.splitlines(), 1):
        if open_at:
            if line.strip() == ticks:
                lines = tuple(taken)
                blocks.append(Block(line=open_at, language=language, not_run=note, lines=lines))
                open_at, note = 0, ""
            else:
                taken.append(line[indent:])
        elif match := FENCE.match(line):
            open_at, ticks, language = number, match["ticks"], match["language"]
            indent, taken = len(match["indent"]), []
        elif match := NOT_RUN.match(line):
            note = match["reason"]
        elif line.strip():
            note = ""
    return blocks


def is_exempt(command: Command) -> bool:
    """Whether a document may leave this command to the reader alone."""
    return EXEMPT.fullmatch(command.text) is not None


def find_unkept(promised: tuple[str, ...], output: str) -> str | None:
    """The first promised line that the output does not have in its place, if any."""
    rest = [line.strip() for line in output.splitlines()]
    for promise in promised:
        if set(promise) <= set("….") and promise:
            continue
        pattern = ".*".join(re.escape(part) for part in promise.split("…"))
        for position, line in enumerate(rest):
            if re.fullmatch(pattern, line):
                rest = rest[position + 1 :]
                break
        else:
            return promise
    return None


@dataclass(kw_only=True)
class Shell:
    """One bash, in a folder that looks like a checkout, with a home of its own."""

    folder: Path
    home: Path
    venv_bin: Path
    timeout_s: float = 180
    _process: subprocess.Popen = field(init=False)

    def __enter__(self) -> Self:
        environment = {
            name: value
            for name, value in os.environ.items()
            if name in {"LANG", "TMPDIR", "SSL_CERT_FILE", "PROBATUM_COMETBFT"}
            or name.startswith("PIP_")
        }
        environment |= {
            "COLUMNS": "100",
            "HOME": str(self.home),
            "LC_ALL": "C.UTF-8",
            "NO_COLOR": "1",
            "PATH": f"{self.venv_bin}{os.pathsep}{os.environ['PATH']}",
            "PROBATUM_ENVIRONMENT": "ready",
            "TERM": "dumb",
            "VENV": str(self.venv_bin.parent),
        }
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        """End the shell and whatever it left running, politely first."""
        group = self._process.pid
        for sign, patience_s in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 1.0)):
            try:
                os.killpg(group, sign)
            except ProcessLookupError:
                break
            until = time.monotonic() + patience_s
            while time.monotonic() < until:
                self._process.poll()
                try:
                    os.killpg(group, 0)
                except ProcessLookupError:
                    break
                time.sleep(0.05)
        self._process.communicate()

    def run(self, text: str) -> tuple[int, str]:
        """Run one command line; return its exit status and what it printed, errors included."""
        mark = f"-- done {time.monotonic_ns()} --"
        line = f"{text}\nprintf '\\n%s %s\\n' '{mark}' \"$?\"\n"
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()
        until = time.monotonic() + self.timeout_s
        output = b""
        ended = re.compile(re.escape(mark.encode()) + rb" (\d+)\n")
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not (match := ended.search(output)):
                if time.monotonic() > until:
                    return -1, output.decode(errors="replace") + "\n(took too long)"
                if selector.select(timeout=0.2):
                    chunk = os.read(self._process.stdout.fileno(), 65536)
                    if not chunk:
                        return -1, output.decode(errors="replace") + "\n(the shell ended)"
                    output += chunk
        return int(match[1]), output[: match.start()].decode(errors="replace")


def lay_out_checkout(repository: Path, folder: Path) -> Path:
    """Make a folder that reads like the repository; what commands write stays in it."""
    folder.mkdir()
    for entry in sorted(repository.iterdir()):
        if entry.name not in {".git", ".venv", "build", "dist"}:
            (folder / entry.name).symlink_to(entry)
    return folder


def run_document(path: Path, repository: Path, folder: Path, venv_bin: Path) -> list[str]:
    """Run all that a document tells its reader to type; return what did not come true."""
    blocks = [b for b in list_blocks(path.read_text(encoding="utf-8")) if b.language == "console"]
    commands = [c for b in blocks if not b.not_run for c in b.list_commands()]
    if not commands:
        return []
    checkout = lay_out_checkout(repository, folder / "checkout")
    (checkout / ".venv").symlink_to(venv_bin.parent)
    home = folder / "home"
    home.mkdir()
    with Shell(folder=checkout, home=home, venv_bin=venv_bin) as shell:
        for command in commands:
            status, output = shell.run(command.text)
            where = f"{path.name}:{command.line}: $ {command.text}"
            if status != 0:
                return [f"{where}\nexit status {status}\n{output[-3000:]}"]
            if (unkept := find_unkept(command.promised, output)) is not None:
                return [f"{where}\ndoes not print: {unkept}\nbut:\n{output[-3000:]}"]
    shutil.rmtree(checkout, ignore_errors=True)
    return []
