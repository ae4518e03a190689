"""The driver of a storm: grants the wishes of machines on virtual time.

Grants each wish as the shell does in the real world. A *party* is a name, an endpoint, a disk
that survives it and a way to build its machine from that disk; its machine lives from a start to
a crash or a halt. Every step gets fresh entropy, drawn from the seed, the party, its life and the
step's number. A step that raises ends the party and is a finding. Must not know roles. Read next:
`network`, `disk`, `world`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

from probatum.errors import Fault, Refusal
from probatum.machine import events, wishes
from probatum.machine.events import Event, Moment
from probatum.machine.machine import Machine
from probatum.machine.wishes import Wish
from probatum.protocol.encoding import encode
from probatum.protocol.hashing import hash_tagged, sha256
from probatum.protocol.primitives import Digest
from probatum.protocol.tensors import Tensor
from probatum.protocol.texts import pack_ids
from probatum.storm.disk import Disk, DiskPace
from probatum.storm.loop import Action, Loop, derive_chance
from probatum.storm.network import Life, Network, Weather
from probatum.storm.scribe import Pen, Scribe
from probatum.storm.trace import Trace

__all__ = ["START_MS", "Build", "Engine", "Kernel", "Party"]

START_MS = 1_750_000_000_000
"""What a party's clock shows when a storm begins."""

Build: TypeAlias = Callable[[Disk], Machine]
"""Builds or recovers a party's machine from what its disk holds."""
Engine: TypeAlias = Callable[[Digest, tuple[Tensor, ...]], tuple[Tensor, ...] | Refusal | Fault]
"""What a `Compute` wish runs: package and inputs to outputs."""


@dataclass(slots=True, kw_only=True)
class Party:
    """One party of a storm.

    Attributes:
        clock_skew_ms: How far this party's clock is from the storm's.
        compute_ms: Shortest and longest time of one computation.
        pen: What writes texts for it, if anything does.
        machine: None while the party is down.
        life: How often it was started; `steps` of all lives together.
        timers: What is set in this life, by the number of the setting.
        trap: See `Kernel.trap`.
    """

    name: str
    endpoint: str
    build: Build
    disk: Disk
    engine: Engine | None
    clock_skew_ms: int = 0
    compute_ms: tuple[int, int] = (5, 60)
    pen: Pen | None = None
    machine: Machine | None = None
    life: int = 0
    halted: bool = False
    steps: int = 0
    timers: dict[str, int] = field(default_factory=dict)
    trap: tuple[type[Wish], int] | None = None


class Kernel:
    """A network of parties on virtual time.

    Attributes:
        on_end: Told of every party whose life ended, unless it halted: a supervisor's place.
    """

    def __init__(self, *, seed: int, weather: Weather, pace: DiskPace) -> None:
        """Make an empty network."""
        self.seed = seed
        self.trace = Trace()
        self.loop = Loop()
        self.network = Network(
            loop=self.loop,
            chance=derive_chance(seed, "network"),
            trace=self.trace,
            ends=self,
            weather=weather,
        )
        self.parties: dict[str, Party] = {}
        self.on_end: Callable[[Party], None] | None = None
        self._scribe = Scribe(
            loop=self.loop,
            chance=derive_chance(seed, "scribe"),
            trace=self.trace,
            deliver=self.deliver,
        )
        self._names: dict[str, str] = {}
        self._pace = pace
        self._chance = derive_chance(seed, "kernel")
        self._settings = 0

    # Parties

    def add(
        self,
        name: str,
        endpoint: str,
        build: Build,
        *,
        engine: Engine | None = None,
        clock_skew_ms: int = 0,
        pen: Pen | None = None,
    ) -> Party:
        """Add a party that is down; `start` brings it up.

        Args:
            name: Its name in the trace.
            endpoint: Where others reach it.
            build: Builds its machine from its disk, at each start.
            engine: What computes for it, if anything does.
            clock_skew_ms: How far its clock is from the storm's.
            pen: What writes texts for it, if anything does.
        """
        disk = Disk(
            loop=self.loop,
            chance=derive_chance(self.seed, f"disk/{name}"),
            trace=self.trace,
            pace=self._pace,
            owner=name,
        )
        party = Party(
            name=name,
            endpoint=endpoint,
            build=build,
            disk=disk,
            engine=engine,
            clock_skew_ms=clock_skew_ms,
            pen=pen,
        )
        self.parties[name] = party
        self._names[endpoint] = name
        return party

    def start(self, name: str) -> None:
        """Build a party from its disk and tell it `Started`; nothing if it is up or has halted."""
        party = self.parties[name]
        if party.machine is not None or party.halted:
            return
        party.life += 1
        self.trace.note(self.loop.now_ms, f"start {name} life {party.life}")
        try:
            party.machine = party.build(party.disk)
        except Exception as error:  # noqa: BLE001 - the outermost loop: any raise is a finding
            self.trace.find("kernel.start-raised", name, f"{type(error).__name__}: {error}")
            return
        self.deliver(Life(name, party.life), events.Started())

    def crash(self, name: str) -> None:
        """End a party's life at once, as a power cut does."""
        party = self.parties[name]
        if party.machine is None:
            return
        self.trace.note(self.loop.now_ms, f"crash {name}")
        self.trace.count("crashes")
        self._end(party)

    def trap(self, name: str, wish: type[Wish], *, skip: int = 0) -> None:
        """Crash a party right after its next wish of a kind, before the wishes behind it.

        Args:
            name: The party.
            wish: The kind that springs the trap.
            skip: So many wishes of the kind go by first.
        """
        self.parties[name].trap = (wish, skip)

    def plan(self, after_ms: int, action: Action) -> None:
        """Let something happen after a while."""
        self.loop.after(after_ms, action)

    # What the network asks

    def find(self, endpoint: str) -> Life | None:
        """Who lives at an endpoint now, if anybody."""
        name = self._names.get(endpoint)
        if name is None or self.parties[name].machine is None:
            return None
        return Life(name, self.parties[name].life)

    def name_of(self, endpoint: str) -> str | None:
        """Whose endpoint that is, alive or not."""
        return self._names.get(endpoint)

    def deliver(self, life: Life, event: Event) -> None:
        """Step a party and grant what it wishes, unless that life has ended."""
        party = self.parties[life.name]
        if party.machine is None or party.life != life.number:
            return
        party.steps += 1
        self._note(party, event)
        moment = Moment(
            now_ms=START_MS + self.loop.now_ms + party.clock_skew_ms,
            entropy=self._draw_entropy(party),
        )
        try:
            wished = party.machine.step(event, moment)
        except Exception as error:  # noqa: BLE001 - the outermost loop: any raise is a finding
            self.trace.find(
                "kernel.step-raised",
                party.name,
                f"{type(event).__name__} at {self.loop.now_ms} ms: {type(error).__name__}: {error}"
                f" ({_locate(error)})",
            )
            self._end(party)
            return
        for wish in wished:
            self._grant(party, life, wish)
            if self._is_sprung(party, wish):
                self.crash(party.name)
            if party.machine is None:
                return

    # Wishes

    def _grant(self, party: Party, life: Life, wish: Wish) -> None:
        match wish:
            case wishes.Send():
                self.network.send(life, wish)
            case wishes.Reply():
                self.network.reply(life, wish)
            case wishes.Journal():
                party.disk.append(wish.ticket, wish.records, self._on_durable(life))
            case wishes.Commit():
                party.disk.commit(wish.ticket, wish.rows, self._on_durable(life))
            case wishes.Compute():
                self._compute(party, life, wish)
            case wishes.Generate():
                self.trace.count("texts begun")
                self._scribe.begin(life, wish, party.pen)
            case wishes.Curtail(job=job):
                self._scribe.curtail(life, job)
            case wishes.SetTimer():
                self._set_timer(party, life, wish)
            case wishes.CancelTimer(timer=timer):
                party.timers.pop(timer, None)
            case wishes.Report():
                self.trace.note(self.loop.now_ms, f"{party.name} reports {wish.level} {wish.code}")
                self.trace.count(f"report {wish.level} {wish.code}")
            case wishes.Halt():
                self.trace.note(self.loop.now_ms, f"{party.name} halts {wish.code}")
                self.trace.find("kernel.halted", party.name, f"{wish.code}: {wish.message}")
                party.halted = True
                self._end(party)
            case _:
                assert_never(wish)

    def _on_durable(self, life: Life) -> Callable[[str], None]:
        return lambda ticket: self.deliver(life, events.Durable(ticket))

    def _compute(self, party: Party, life: Life, wish: wishes.Compute) -> None:
        if party.engine is None:
            outcome: tuple[Tensor, ...] | Refusal | Fault = Fault(
                "storm.no-engine", "this party computes nothing", retryable=False
            )
        else:
            outcome = party.engine(wish.package, wish.inputs)
        delay_ms = self._chance.randint(*party.compute_ms)
        self.trace.count("computations")
        self.loop.after(delay_ms, lambda: self.deliver(life, events.Computed(wish.job, outcome)))

    def _set_timer(self, party: Party, life: Life, wish: wishes.SetTimer) -> None:
        self._settings += 1
        number = party.timers[wish.timer] = self._settings

        def fire() -> None:
            if party.timers.get(wish.timer) == number:
                del party.timers[wish.timer]
                self.deliver(life, events.Fired(wish.timer))

        self.loop.after(wish.after_ms, fire)

    def _is_sprung(self, party: Party, wish: Wish) -> bool:
        if party.trap is None or not isinstance(wish, party.trap[0]):
            return False
        kind, skip = party.trap
        party.trap = (kind, skip - 1) if skip else None
        if skip:
            return False
        self.trace.count(f"crashes at {kind.__name__}")
        return True

    def _end(self, party: Party) -> None:
        life = Life(party.name, party.life)
        party.machine = None
        party.timers.clear()
        party.disk.crash()
        self.network.drop(life)
        if self.on_end is not None and not party.halted:
            self.on_end(party)

    def _draw_entropy(self, party: Party) -> bytes:
        label = f"{self.seed}/{party.name}/{party.life}/{party.steps}"
        return hash_tagged("probatum/storm/entropy", label.encode())

    def _note(self, party: Party, event: Event) -> None:
        text, payload = _describe(event)
        self.trace.note(self.loop.now_ms, f"{party.name} {text}", payload)
        self.trace.count("steps")


def _describe(event: Event) -> tuple[str, bytes]:
    """Write an event as a line and the bytes that its digest takes in."""
    name = type(event).__name__
    match event:
        case events.Arrived():
            what = type(event.message).__name__
            return f"{name} {event.conversation} {what}", encode(event.message)
        case events.Returned():
            what = type(event.message).__name__
            return f"{name} {event.call} {what} last={event.last}", encode(event.message)
        case events.Unreachable():
            return f"{name} {event.call} {event.reason}", b""
        case events.Hung() | events.Enough():
            return f"{name} {event.conversation}", b""
        case events.Generated():
            return f"{name} {event.job} {len(event.ids)}", pack_ids(event.ids)
        case events.Durable():
            return f"{name} {event.ticket}", b""
        case events.BlockFinal():
            return f"{name} {event.height} {event.transactions}", b""
        case events.Fired():
            return f"{name} {event.timer}", b""
        case events.Computed():
            ending, payload = _describe_outcome(event.outcome)
            return f"{name} {event.job}{ending}", payload
        case events.Started() | events.Stopping():
            return name, b""
        case _:
            assert_never(event)


def _describe_outcome(outcome: tuple[Tensor, ...] | Refusal | Fault) -> tuple[str, bytes]:
    if isinstance(outcome, tuple):
        return "", b"".join(sha256(encode(tensor)) for tensor in outcome)
    return f" {outcome.code}", b""


def _locate(error: BaseException) -> str:
    """Name the innermost page and line of an error, without the machine's folders."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "nowhere"
    page = trace.tb_frame.f_code.co_filename.rpartition("probatum/")[2]
    return f"{page}:{trace.tb_lineno}"
