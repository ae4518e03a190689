"""What to do so that validators stay up: pure decisions from what is seen of them.

A validator is two processes, the application and its engine. The application comes first: an
engine without one waits three seconds between its tries. Both are started again whatever their
exit code (an engine whose application died ends with 0), later each time that they neither live
long nor get on. And a process that lives proves nothing: an engine whose application computed
another hash than the others answers as healthy for ever, at a height that stands still. So what
must move is *the time of the last block*. Whoever stands still while others move is started again,
a few times and ever later; never where nobody moves, for then too few run, and each restart would
be one fewer; never who disagrees with the others, since no restart mends that. Whoever stood still
while its disk was full is started again in any case, once there is room: its engine lives, and
votes no more. Must not know processes, clocks or sockets. Read next: `validators`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

__all__ = ["Action", "LastBlock", "Part", "Say", "Seen", "Start", "Stop", "Supervisor"]

Part: TypeAlias = Literal["app", "engine"]

FIRST_DELAY_S: Final = 0.25
LONGEST_DELAY_S: Final = 30.0
CALM_S: Final = 30.0
"""A process that lived as long begins with the first delay again."""
RESTARTS: Final = 3
"""So often one that stands still is started again, each time after twice as long."""
AHEAD: Final = 3
"""Peers at so many heights above the last block have decided blocks that are not here: the next
one is everybody's to decide, and the one after may just have come."""
LINGER_S: Final = 4.0
"""An engine notices at once that its application is gone, and ends: it never looks for another.
One that has not ended by then never will: about every 25th time, what it was asking when the
connection broke is forgotten, and it waits for the answer on its way out (CometBFT 0.38.25)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastBlock:
    """The last block that an engine says it has."""

    height: int
    time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is seen of one validator at a moment.

    Attributes:
        app: Whether its application runs, and whether it takes connections.
        engine: Whether its engine runs.
        block: What the engine said last; None if it does not answer.
        is_wanted: Whether it shall run at all.
        peers_height: The height that more than half of its peers are deciding; None if unknown.
        cause: Why it cannot follow the others, as its engine said; no restart mends it.
        has_room: Whether its disk has room for what it writes.
    """

    app: Literal["down", "starting", "ready"]
    engine: bool
    block: LastBlock | None = None
    is_wanted: bool = True
    peers_height: int | None = None
    cause: str = ""
    has_room: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Start a process."""

    name: str
    part: Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """End a process that hangs."""

    name: str
    part: Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """Tell whoever is on duty.

    Attributes:
        code: Stable, for monitors: ``validator.still``, ``validator.moves``, ``validator.revived``,
            ``validator.stuck``, ``chain.still``, ``chain.moves``, ``validator.restarts``.
        name: Whom it is about; empty for all.
        text: For people.
    """

    code: str
    name: str
    text: str


Action: TypeAlias = Start | Stop | Say


@dataclass(slots=True, kw_only=True)
class _Process:
    """One process: when it may be started next, and how long it took to fail before."""

    delay_s: float = FIRST_DELAY_S
    next_at: float = 0.0
    started_at: float | None = None
    failures: int = 0


@dataclass(slots=True, kw_only=True)
class _Member:
    app: _Process = field(default_factory=_Process)
    engine: _Process = field(default_factory=_Process)
    block: LastBlock | None = None
    moved_at: float
    is_still: bool = False
    answers_since: float | None = None
    """When its engine said a block for the first time since it was started last."""
    revivals: int = 0
    revive_at: float = 0.0
    without_app_since: float | None = None
    lacked_room: bool = False
    """Whether its disk was full while it stood still."""


class Supervisor:
    """Decides for some validators of one network, on one machine."""

    def __init__(self, names: tuple[str, ...], *, still_s: float, now_s: float) -> None:
        """Begin with nothing running.

        Args:
            names: The validators.
            still_s: How long the last block may be the same before that is told.
            now_s: A clock that never goes back, as everywhere here.
        """
        self._members = {name: _Member(moved_at=now_s) for name in names}
        self._still_s = still_s
        self._all_still = False

    def decide(self, seen: Mapping[str, Seen], now_s: float) -> tuple[Action, ...]:
        """Decide what to do now.

        Args:
            seen: Every validator.
            now_s: The time.
        """
        actions: list[Action] = []
        for name, member in self._members.items():
            if seen[name].is_wanted:
                actions += _revive(name, member, seen[name], now_s)
            else:
                member.app, member.engine = _Process(), _Process()
        actions += self._judge_motion(seen, now_s)
        for name, member in self._members.items():
            actions += _make_use_of_room(name, member, seen[name])
        return tuple(actions)

    def _judge_motion(self, seen: Mapping[str, Seen], now_s: float) -> list[Action]:
        actions: list[Action] = []
        for name, member in self._members.items():
            actions += self._note(name, member, seen[name], now_s)
        still = [n for n, it in self._members.items() if now_s - it.moved_at > self._still_s]
        behind = [name for name in still if _is_behind(self._members[name], seen[name])]
        if len(still) == len(self._members):
            if not behind:
                return actions + self._tell_all(seen, now_s)
            still = behind  # of the others nothing is known
        if self._all_still:
            self._all_still = False
            for name in still:  # they have as long to follow
                self._members[name].is_still, self._members[name].moved_at = False, now_s
            still = []
            text = f"the chain moves again, at height {self._get_height()}"
            actions.append(Say(code="chain.moves", name="", text=text))
        for name in still:
            member = self._members[name]
            if not member.is_still:
                member.is_still = True
                height = max(self._get_height(), (seen[name].peers_height or 1) - 1)
                text = f"{name} stands still {_tell_place(member)}; others are at height {height}: "
                text += seen[name].cause or _explain_standing(seen[name])
                actions.append(Say(code="validator.still", name=name, text=text))
            actions += self._restart(name, member, seen[name], now_s)
        return actions

    def _note(self, name: str, member: _Member, seen: Seen, now_s: float) -> list[Action]:
        """Note what an engine says now; tell if it moves again."""
        block, before = seen.block, member.block
        if not seen.engine:
            member.answers_since = None
        elif block is not None and member.answers_since is None:
            member.answers_since = now_s
        if block is None or (before is not None and block.time_ms == before.time_ms):
            return []
        if before is not None and now_s - member.revive_at > CALM_S:
            member.revivals = 0  # it moves, and has for a while
        member.block, member.moved_at = block, now_s
        for process in (member.app, member.engine):
            if process.started_at is not None:  # it does what it is for
                process.delay_s, process.failures = FIRST_DELAY_S, 0
        was_still, member.is_still = member.is_still, False
        if not was_still or self._all_still:
            return []
        text = f"{name} moves again, at height {block.height}"
        return [Say(code="validator.moves", name=name, text=text)]

    def _restart(self, name: str, member: _Member, seen: Seen, now_s: float) -> list[Action]:
        """Start one again that stands still alone: it runs, has had time, and it had blocks.

        One that has not answered yet computes its past again, one without blocks may be fetching
        a snapshot: a restart would begin that anew.
        """
        had_blocks = member.block is not None and member.block.height > 0
        if not _runs(seen) or not had_blocks or seen.cause or member.revivals > RESTARTS:
            return []
        since = member.answers_since
        if since is None or now_s < max(since + self._still_s, member.revive_at):
            return []
        member.revivals += 1
        member.revive_at = now_s + self._still_s * 2**member.revivals
        if member.revivals > RESTARTS:
            text = f"{name} was started again {RESTARTS} times and still has no new block: it is "
            text += "left as it is; probatum doctor on its home says why"
            return [Say(code="validator.stuck", name=name, text=text)]
        text = f"{name} is started again, the {member.revivals}. time of {RESTARTS}"
        said = Say(code="validator.revived", name=name, text=text)
        return [said, Stop(name=name, part="engine"), Stop(name=name, part="app")]

    def _tell_all(self, seen: Mapping[str, Seen], now_s: float) -> list[Action]:
        """Say once that nobody moves: then it is the chain, or too many validators."""
        for member in self._members.values():
            member.is_still = True
        if self._all_still:
            return []
        self._all_still = True
        count = sum(one.app == "ready" and one.engine for one in seen.values())
        last = max(member.moved_at for member in self._members.values())
        text = f"the chain stands still at height {self._get_height()} for {now_s - last:.0f} s: "
        text += f"{count} of {len(seen)} validators run here, and more than two thirds of the "
        text += "power are needed"
        full = [name for name, one in seen.items() if not one.has_room]
        if full:
            text += f"; the disk of {', '.join(full)} is full"
        alone = [one for one in seen.values() if one.block is not None and one.peers_height is None]
        if len(alone) == len(seen) == 1:
            text += "; its engine has no peers: are those in config.toml in reach?"
        return [Say(code="chain.still", name="", text=text)]

    def _get_height(self) -> int:
        return max(it.block.height if it.block else 0 for it in self._members.values())


def _explain_standing(seen: Seen) -> str:
    return "probatum doctor on its home says why" if seen.has_room else "its disk is full"


def _runs(seen: Seen) -> bool:
    return seen.is_wanted and seen.app == "ready" and seen.engine


def _make_use_of_room(name: str, member: _Member, seen: Seen) -> list[Action]:
    """Start one again that could not write while it stood still, and now can."""
    if not member.is_still:
        member.lacked_room = False
    elif not seen.has_room:
        member.lacked_room = True
    elif member.lacked_room and _runs(seen):
        member.lacked_room, member.revivals = False, 0
        text = f"{name} stood still while its disk was full; there is room, so it is started again"
        said = Say(code="validator.revived", name=name, text=text)
        return [said, Stop(name=name, part="engine"), Stop(name=name, part="app")]
    return []


def _is_behind(member: _Member, seen: Seen) -> bool:
    """Whether its own peers say that the chain goes on without it."""
    here = member.block.height if member.block else 0
    return seen.peers_height is not None and seen.peers_height >= here + AHEAD


def _tell_place(member: _Member) -> str:
    return f"at height {member.block.height}" if member.block else "before its first block"


def _revive(name: str, member: _Member, seen: Seen, now_s: float) -> list[Action]:
    actions: list[Action] = []
    actions += _keep_up(name, "app", member.app, running=seen.app != "down", now_s=now_s)
    if not seen.engine:
        member.without_app_since = None
    elif seen.app != "ready" and member.without_app_since is None:
        member.without_app_since = now_s
    # However well its application is by now: this engine had another.
    if member.without_app_since is not None and now_s - member.without_app_since > LINGER_S:
        member.without_app_since = now_s
        actions.append(Stop(name=name, part="engine"))
    if seen.app == "ready":
        actions += _keep_up(name, "engine", member.engine, running=seen.engine, now_s=now_s)
    elif not seen.engine:
        _note_end(member.engine, now_s)
    return actions


def _keep_up(
    name: str, part: Part, process: _Process, *, running: bool, now_s: float
) -> list[Action]:
    if running:
        if process.started_at is not None and now_s - process.started_at > CALM_S:
            process.delay_s, process.failures = FIRST_DELAY_S, 0
        return []
    _note_end(process, now_s)
    if now_s < process.next_at:
        return []
    process.started_at = now_s
    start = Start(name=name, part=part)
    if process.failures and process.failures % 5 == 0:
        text = f"the {part} of {name} ended {process.failures} times; it is tried every "
        text += f"{process.delay_s:.0f} s: its log says why"
        return [Say(code="validator.restarts", name=name, text=text), start]
    return [start]


def _note_end(process: _Process, now_s: float) -> None:
    """Note that a process is found ended, once: the next start comes after its delay."""
    if process.started_at is None:
        return
    if now_s - process.started_at > CALM_S:
        process.delay_s, process.failures = FIRST_DELAY_S, 0
    process.started_at = None
    process.failures += 1
    process.next_at = now_s + process.delay_s
    process.delay_s = min(2 * process.delay_s, LONGEST_DELAY_S)
