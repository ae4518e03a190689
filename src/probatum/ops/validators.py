"""Validators as processes: each an application and its engine, kept up by a thread of their own.

The thread looks at them ten times a second, asks the engines for their last block every second,
and does what `supervising` decides. Everything that others call is for any thread. Must not know
what the processes say to each other. Read next: `supervising`, `engine_process`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, assert_never

from probatum.errors import Fault
from probatum.ops.children import Children, read_log_tail
from probatum.ops.engine_status import find_cause, read_peers_height, read_status
from probatum.ops.supervising import Action, LastBlock, Part, Say, Seen, Start, Stop, Supervisor

__all__ = ["Validator", "Validators"]

FULL_NODE: Final = "probatum.nodes.full.run"
_ENGINE_PROCESS: Final = "probatum.ops.engine_process"
_TICK_S: Final = 0.1
_ASK_S: Final = 1.0
_ANSWER_S: Final = 0.5
_STOP_S: Final = 8.0
_JOIN_S: Final = 30.0
_ROOM_BYTES: Final = 16 * 1024 * 1024
"""Less on a disk is as good as nothing: a block may be as long."""
_REFUSED: Final = 64
"""The exit code of what the configuration or a key forbids: no second start mends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validator:
    """One validator on this machine.

    Attributes:
        name: Its name, and that of its application's log; the engine's is beside it.
        home: Its folder.
        host, port: Where its application's door is to be; port 0 draws one.
        rpc_port: Where its engine is asked.
    """

    name: str
    home: Path
    host: str = "127.0.0.1"
    port: int
    rpc_port: int

    @property
    def engine(self) -> str:
        """Name of its engine among processes and logs."""
        return f"{self.name}-engine"


class Validators:
    """Some validators of one network; `start`, then they are kept up until `stop`."""

    def __init__(
        self,
        validators: tuple[Validator, ...],
        children: Children,
        *,
        program: Path,
        still_s: float,
        say: Callable[[str], None],
        app_module: str = FULL_NODE,
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            validators: Which.
            children: Whose child processes they become; nobody else's.
            program: CometBFT.
            still_s: How long the last block may be the same before that is told.
            say: Is told what happens to them, a line at a time, by the thread.
            app_module: What is run as the application.
        """
        self._validators = {one.name: one for one in validators}
        self._children = children
        self._program = program
        self._say = say
        self._app_module = app_module
        names = tuple(self._validators)
        self._supervisor = Supervisor(names, still_s=still_s, now_s=time.monotonic())
        self._endpoints: dict[str, str] = {}
        self._engines: dict[str, int] = {}
        self._ready: set[str] = set()
        self._held: set[str] = set()
        self._blocks: dict[str, LastBlock | None] = dict.fromkeys(names)
        self._still_s = still_s
        self._moved_at = dict.fromkeys(names, time.monotonic())
        self._peers: dict[str, int | None] = dict.fromkeys(names)
        self._causes: dict[str, str] = dict.fromkeys(names, "")
        self._log_begins: dict[str, int] = dict.fromkeys(names, 0)
        self._broken: Fault | None = None
        self._is_asked_to_stop = threading.Event()
        self._lock = threading.RLock()
        self._thread = threading.Thread(target=self._run, name="validators", daemon=True)

    # ----------------------------------------------------------------------------- for others

    def start(self, deadline: float) -> None:
        """Start them, and return once every application is ready and blocks come.

        Args:
            deadline: By `time.monotonic`.

        Raises:
            Fault: `validators.not-moving` with the last words of those that are not there yet;
                `children.died` if one was refused its start.
        """
        self.begin()
        while not self._is_moving():
            self.check()
            if time.monotonic() > deadline:
                raise self._explain()
            time.sleep(_TICK_S)

    def begin(self) -> None:
        """Start them, and wait for nothing."""
        self._thread.start()

    def check(self) -> None:
        """Raise Fault `children.died` if one was refused its start: trying again mends nothing."""
        if self._broken is not None:
            raise self._broken

    def get_endpoint(self, name: str) -> str:
        """Where a validator's application is reached; known from `start` on."""
        with self._lock:
            return self._endpoints[name]

    def get_block(self, name: str) -> LastBlock | None:
        """What a validator's engine said last; None if it does not answer."""
        with self._lock:
            return self._blocks[name]

    def get_pid(self, name: str, part: Part = "app") -> int | None:
        """Process id of a validator's application or of its very engine; None if it is down."""
        with self._lock:
            child = self._get_child(name, part)
            if not self._children.is_running(child):
                return None
            return self._children.get_pid(name) if part == "app" else self._engines.get(name)

    def kill(self, name: str, part: Part) -> bool:
        """End a process at once (SIGKILL); it will be started again. False if it was down."""
        with self._lock:
            pid = self.get_pid(name, part)
            if pid is None:
                return False
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            return True

    def hold(self, names: tuple[str, ...]) -> None:
        """End validators and leave them down until `release`, as if their machines had failed."""
        with self._lock:
            self._held.update(names)
            for name in names:
                for part in ("engine", "app"):
                    child = self._get_child(name, part)
                    if self._children.is_running(child):
                        self._children.kill(child)

    def release(self, names: tuple[str, ...]) -> None:
        """Let validators that were held be started again."""
        with self._lock:
            self._held.difference_update(names)

    def stop(self) -> None:
        """End them: engines first, so that none finds its application gone. May be repeated."""
        self._is_asked_to_stop.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)
        with self._lock:
            self._children.stop(tuple(one.engine for one in self._validators.values()), _STOP_S)
            self._children.stop(tuple(self._validators), _STOP_S)

    def close(self) -> None:
        """Let go of their processes, killing what still runs. After `stop`; may be repeated."""
        with self._lock:
            self._children.close()

    # ----------------------------------------------------------------------------- the thread

    def _run(self) -> None:
        asked_at = 0.0
        while not self._is_asked_to_stop.wait(_TICK_S):
            now = time.monotonic()
            if now - asked_at >= _ASK_S:
                self._ask()
                asked_at = now
            with self._lock:
                if self._is_asked_to_stop.is_set():
                    return
                self._tick(time.monotonic())

    def _ask(self) -> None:
        """Ask every engine for its last block; outside the lock, since one may not answer."""
        for name, validator in self._validators.items():
            found = None
            if self._children.is_running(validator.engine):
                with contextlib.suppress(Fault):
                    found = read_status(validator.rpc_port, _ANSWER_S)
            with self._lock:
                if found is not None and found != self._blocks[name]:
                    self._moved_at[name] = time.monotonic()
                self._blocks[name] = found
            self._look_closer(validator, answers=found is not None)

    def _look_closer(self, validator: Validator, *, answers: bool) -> None:
        """Ask whoever stands still where its peers are, and what it refuses."""
        peers, cause, name = None, "", validator.name
        # Before anybody decides that it stands still.
        if answers and time.monotonic() - self._moved_at[name] > self._still_s / 2:
            with contextlib.suppress(Fault):
                peers = read_peers_height(validator.rpc_port, _ANSWER_S)
            cause = find_cause(self._children.get_log(validator.engine), self._log_begins[name])
        with self._lock:
            self._peers[name], self._causes[name] = peers, cause

    def _tick(self, now_s: float) -> None:
        seen = {name: self._look(name) for name in self._validators}
        for death in self._children.find_dead():
            if death.exit_code == _REFUSED:
                self._say(str(death))
                self._broken = Fault("children.died", str(death))
            else:
                self._say(f"{death}\n    It is started again.")
        for action in self._supervisor.decide(seen, now_s):
            self._act(action)

    def _look(self, name: str) -> Seen:
        engine = self._children.is_running(self._get_child(name, "engine"))
        if engine and name not in self._engines:
            line = self._poll(self._get_child(name, "engine"))
            process = None if line is None else line.get("process")
            if isinstance(process, int):
                self._engines[name] = process
        return Seen(
            app=self._look_at_app(name),
            engine=engine,
            block=self._blocks[name],
            is_wanted=name not in self._held,
            peers_height=self._peers[name],
            cause=self._causes[name],
            has_room=_has_room(self._validators[name].home),
        )

    def _look_at_app(self, name: str) -> Literal["down", "starting", "ready"]:
        if not self._children.is_running(name):
            return "down"
        if name not in self._ready:
            line = self._poll(name)
            if line is None:
                return "starting"
            self._endpoints[name] = str(line["endpoint"])
            self._ready.add(name)
        return "ready"

    def _poll(self, child: str) -> dict[str, object] | None:
        try:
            return self._children.poll_ready(child)
        except Fault as fault:
            self._say(fault.message)
            if self._children.get_exit_code(child) == _REFUSED:
                self._broken = fault
            self._children.kill(child)
            return None

    def _act(self, action: Action) -> None:
        match action:
            case Say(text=text):
                self._say(text)
            case Stop(name=name, part=part):
                self._children.kill(self._get_child(name, part))
            case Start(name=name, part=part):
                try:
                    self._spawn(self._validators[name], part)
                except Fault as fault:
                    self._say(fault.message)
            case _:
                assert_never(action)

    def _spawn(self, validator: Validator, part: Part) -> None:
        arguments: tuple[str, ...] = ("--home", str(validator.home))
        if part == "engine":
            self._engines.pop(validator.name, None)
            arguments += ("--program", str(self._program))
            log = self._children.get_log(validator.engine)
            with contextlib.suppress(OSError):
                self._log_begins[validator.name] = log.stat().st_size
            self._children.spawn(validator.engine, _ENGINE_PROCESS, arguments)
            return
        self._ready.discard(validator.name)
        known = self._endpoints.get(validator.name)
        # Others know it by its address, so it comes back where it was.
        port = validator.port if known is None else int(known.rsplit(":", 1)[1])
        arguments += ("--host", validator.host, "--port", str(port))
        self._children.spawn(validator.name, self._app_module, arguments)

    # ------------------------------------------------------------------------------- the rest

    def _get_child(self, name: str, part: Part) -> str:
        return name if part == "app" else self._validators[name].engine

    def _is_moving(self) -> bool:
        with self._lock:
            return all(
                name in self._ready and (block := self._blocks[name]) is not None and block.height
                for name in self._validators
            )

    def _explain(self) -> Fault:
        with self._lock:
            words = []
            for name, validator in self._validators.items():
                block = self._blocks[name]
                if block is None or not block.height:
                    words.append(f"{name} has no block yet")
                    for log in (name, validator.engine):
                        words += [f"    {line}" for line in self._read_log(log)]
            said = "".join(f"\n{line}" for line in words)
        return Fault("validators.not-moving", f"the validators make no blocks{said}")

    def _read_log(self, child: str) -> tuple[str, ...]:
        return read_log_tail(self._children.get_log(child))


def _has_room(home: Path) -> bool:
    try:
        return shutil.disk_usage(home).free >= _ROOM_BYTES
    except OSError:
        return True  # what that means others say
