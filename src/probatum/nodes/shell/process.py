"""A party as a process: home, keys, socket, machine, door, and an orderly end.

`run_process` is the outermost loop. It prints one ready line on standard output once the door is
open, ends on SIGTERM or SIGINT after what is held was finished, and ends at once when its parent
dies. Must not know roles: they hand in how a party is built.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Generic, TypeVar

import msgspec
import uvloop
from starlette.types import ASGIApp

from probatum.errors import Fault, Misuse, ProbatumError, Refusal
from probatum.machine.machine import Machine
from probatum.machine.wishes import Report
from probatum.nodes.shell.chance import Chance
from probatum.nodes.shell.config import NodeConfig, load_config
from probatum.nodes.shell.drive import Driver, Ended, World
from probatum.nodes.shell.journal import Journal, lock_home, open_journal
from probatum.nodes.shell.keys import lock_keys
from probatum.nodes.shell.logs import write_report, write_through
from probatum.nodes.shell.memory import calm_collector, give_memory_back
from probatum.nodes.shell.meter import Meter, MetricsDoor
from probatum.nodes.shell.serve import bind, make_server
from probatum.protocol.headers import SignedHeader

__all__ = [
    "AFTER_GRACE_S",
    "EXIT_CODES",
    "Party",
    "Site",
    "make_world",
    "parse_arguments",
    "recover_journal",
    "run_process",
]

AFTER_GRACE_S: Final = 2.0
"""How much longer than its own patience a party that halts itself may take to stop."""
_C = TypeVar("_C", bound=NodeConfig)

EXIT_CODES: Final[Mapping[str, int]] = {
    "ok": 0,
    "refusal": 64,
    "fault": 69,
    "bug": 70,
    "halt": 71,
    "orphan": 75,
}
"""What a process of a party ends with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site(Generic[_C]):
    """Where a party runs.

    Attributes:
        home: Its folder.
        config: What its ``node.toml`` says, with what the command line says instead.
        endpoint: The address that others reach it at.
    """

    home: Path
    config: _C
    endpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A party, built.

    Attributes:
        machine: The party itself, recovered from what its home holds.
        world: What its wishes may touch.
        make_app: Makes its door once the driver stands.
        close: Lets go of what `world` holds; called last.
        ready: What its ready line says beside role, endpoint and process.
        grace_s: How long an orderly stop may take.
        chores: What runs beside it, each until the party ends.
        bear_witness: Keeps and reports the headers of a second past that the machine halted for.
        halts_itself: Whether the machine wishes `Halt` with a code that ends in ``.stopped`` when
            it has finished after `Stopping`; otherwise the process ends when nothing is held.
    """

    machine: Machine
    world: World
    make_app: Callable[[Driver], ASGIApp]
    close: Callable[[], None] = lambda: None
    ready: Mapping[str, str] = field(default_factory=dict)
    grace_s: float = 5.0
    chores: tuple[Callable[[], Coroutine[None, None, None]], ...] = ()
    bear_witness: Callable[[tuple[SignedHeader, ...]], None] = lambda _: None
    halts_itself: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What a process is started with; `host` and `port` override the configuration."""

    home: Path
    host: str | None = None
    port: int | None = None
    parent_fd: int | None = None
    metrics_for_anyone: bool = False


def parse_arguments(role: str, arguments: Sequence[str] | None = None) -> Arguments:
    """Parse a role's command line."""
    parser = argparse.ArgumentParser(
        prog=f"python -m probatum.nodes.{role}.run", description=f"Run a node of role {role}."
    )
    parser.add_argument("--home", type=Path, required=True, help="the node's folder")
    parser.add_argument("--host", help="listen on this address instead of the configured one")
    parser.add_argument("--port", type=int, help="listen on this port; 0 takes a free one")
    parser.add_argument(
        "--parent-fd", type=int, help="read end of a pipe; when it closes, the node ends at once"
    )
    parser.add_argument(
        "--metrics-for-anyone",
        action="store_true",
        help="show /metrics to other machines too, not only to callers on this one",
    )
    parsed = parser.parse_args(arguments)
    return Arguments(
        home=parsed.home,
        host=parsed.host,
        port=parsed.port,
        parent_fd=parsed.parent_fd,
        metrics_for_anyone=parsed.metrics_for_anyone,
    )


def make_world(**parts: object) -> World:
    """Make a world with the real clock, the system's chance and log lines.

    Args:
        parts: `World`'s journal, tables, transport, compute, as far as the party wishes for them.
    """
    return World(
        clock_ms=lambda: time.time_ns() // 1_000_000,
        entropy=Chance().draw,
        report=write_report,
        **parts,  # type: ignore[arg-type]
    )


def recover_journal(home: Path) -> tuple[Journal, Iterable[bytes]]:
    """Open a home's journal, and say what was torn. Errors as `open_journal`."""
    journal, recovered = open_journal(home / "journal")
    if recovered.cut_bytes:
        message = f"cut {recovered.cut_bytes} bytes of an unfinished write off the journal"
        write_report(Report("warning", "journal.torn", message))
    return journal, recovered.records


def run_process(
    kind: type[_C], build: Callable[[Site[_C]], Party], arguments: Sequence[str] | None
) -> int:
    """Run a party until it ends.

    Args:
        kind: What its configuration is.
        build: Builds the party; everything that can be refused is refused here.
        arguments: The command line; None for this process's own.

    Returns:
        One of `EXIT_CODES`.
    """
    # A core file would hold the party's keys.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    role = str(kind.__struct_config__.tag)
    said = parse_arguments(role, arguments)
    write_through()
    try:
        if said.parent_fd is not None:
            watch_parent(said.parent_fd)
        locks = [lock_home(said.home)]
        try:
            locks += lock_keys(said.home / "keys")
            return _run(role, said.home, _load(said, kind), build)
        finally:
            for lock in locks:
                os.close(lock)
    except ProbatumError as error:
        _report_end(error.code, error.message, error.hint)
        if isinstance(error, Misuse):
            traceback.print_exc()
            return EXIT_CODES["bug"]
        return EXIT_CODES["fault" if isinstance(error, Fault) else "refusal"]
    # The process's outermost loop: a bug ends it, loudly, with its trace.
    except Exception as error:  # noqa: BLE001
        _report_end("process.bug", f"{type(error).__name__}: {error}", "report this as a bug")
        traceback.print_exc()
        return EXIT_CODES["bug"]


def watch_parent(descriptor: int) -> None:
    """End this process at once when the other end of a pipe is closed.

    The parent holds the only write end, so the kernel closes it however the parent dies. What the
    party promised is on disk before it is said, so nothing needs to be finished.

    Raises:
        Refusal: `process.bad-parent-fd`.
    """
    try:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - the standard library's signature
    except OSError as error:
        raise Refusal(
            "process.bad-parent-fd", f"descriptor {descriptor}: {error.strerror}"
        ) from None

    def wait() -> None:
        try:
            while os.read(descriptor, 64):
                pass
        except OSError:
            pass
        os._exit(EXIT_CODES["orphan"])

    threading.Thread(target=wait, name="watch-parent", daemon=True).start()


def _load(arguments: Arguments, kind: type[_C]) -> _C:
    config = load_config(arguments.home, kind)
    return msgspec.structs.replace(
        config,
        host=arguments.host or config.host,
        port=config.port if arguments.port is None else arguments.port,
        metrics_for_anyone=arguments.metrics_for_anyone or config.metrics_for_anyone,
    )


def _run(role: str, home: Path, config: _C, build: Callable[[Site[_C]], Party]) -> int:
    door = bind(config.host, config.port)
    try:
        taken: int = door.getsockname()[1]
        shown = f"[{config.host}]" if ":" in config.host else config.host
        endpoint = config.endpoint or f"http://{shown}:{taken}"
        site = Site(home=home, config=config, endpoint=endpoint)
        party = build(site)
        calm_collector()
        give_memory_back()  # what reading the journal took
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                ended = runner.run(_live(role, site, party, door))
        finally:
            party.close()
    finally:
        door.close()
    if ended.halt is None or ended.halt.code.endswith(".stopped"):
        return EXIT_CODES["ok"]
    _report_end(ended.halt.code, ended.halt.message, "")
    if ended.halt.headers:
        party.bear_witness(ended.halt.headers)
    # An orderly stop that ran out of its own time was asked for all the same.
    return EXIT_CODES["ok" if ended.halt.code.endswith(".stopped-early") else "halt"]


async def _live(role: str, site: Site[_C], party: Party, door: socket.socket) -> Ended:
    meter = Meter(party.machine)
    driver = Driver(meter, meter.watch(party.world))
    loop = asyncio.get_running_loop()
    stops: set[asyncio.Task[None]] = set()

    def ask_to_stop() -> None:
        if not stops:
            stops.add(
                loop.create_task(
                    driver.stop(grace_s=party.grace_s, when_quiet=not party.halts_itself)
                )
            )

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask_to_stop)

    def say_ready() -> None:
        line = {
            "ready": True,
            "role": role,
            "endpoint": site.endpoint,
            "pid": os.getpid(),
            "home": str(site.home),
            **party.ready,
        }
        sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
        sys.stdout.flush()

    app = MetricsDoor(party.make_app(driver), meter, anyone=site.config.metrics_for_anyone)
    server = make_server(app, say_ready)
    living = loop.create_task(driver.run())
    serving = loop.create_task(server.serve(sockets=[door]))
    chores = [loop.create_task(chore()) for chore in party.chores]
    # Whichever ends first takes the other along; a door that could not open is a bug.
    await asyncio.wait({living, serving}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    await serving
    try:
        return await living
    finally:
        for chore in chores:
            chore.cancel()
        if party.world.transport is not None:
            await party.world.transport.close()


def _report_end(code: str, message: str, hint: str) -> None:
    fields = (("hint", hint),) if hint else ()
    write_report(Report("error", code, message, fields))
