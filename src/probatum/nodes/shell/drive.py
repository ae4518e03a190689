"""The driver: grants a machine's wishes in the real world, one event after the other.

One event loop owns the machine. Events wait in an inbox; each time that the loop comes round, a
batch of them is stepped and the wishes are granted in order; who asks alone waits for no turn.
Everything that a step waits for runs beside it (calls, flushes, models) and comes back as an
event; a short flush that nobody else would wait for, and a model that takes moments, are done on
the spot: a turn of a thread costs more. What was said before leaves before a flush. An exception
that leaves a step is a bug and ends the process. Must not know what party it drives; `storm` drives
the same machines.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from contextlib import aclosing
from functools import partial
from typing import Final, assert_never

from probatum.errors import Fault, Misuse, ProbatumError, Refusal
from probatum.machine.events import (
    Arrived,
    Computed,
    Durable,
    Enough,
    Event,
    Fired,
    Hung,
    Moment,
    Returned,
    Started,
    Stopping,
    Unreachable,
)
from probatum.machine.machine import Machine
from probatum.machine.wishes import (
    CancelTimer,
    Commit,
    Compute,
    Curtail,
    Generate,
    Halt,
    Journal,
    Reply,
    Report,
    Send,
    SetTimer,
    Wish,
)
from probatum.nodes.shell.conversations import Conversation
from probatum.nodes.shell.crowd import Crowd
from probatum.nodes.shell.recording import QUICK_S, Recorder
from probatum.nodes.shell.texts import Texts
from probatum.nodes.shell.timers import Timers
from probatum.nodes.shell.world import Ended, Row, World
from probatum.nodes.shell.writers import GroupWriter, Pace
from probatum.protocol.messages import Accepted, Message, Produced
from probatum.protocol.tensors import Tensor

__all__ = ["Driver", "Ended", "World"]

BATCH_EVENTS: Final = 128
BATCH_S: Final = 0.005
"""Events, or seconds of them, stepped before sockets are looked at again."""
OPEN_CONVERSATIONS: Final = 4_096
OPEN_CALLS: Final = 4_096
REPLIES_PER_CALL: Final = 16
"""More replies than any conversation has: the other side is not well."""


class Driver:
    """Drives one machine. Use within one running event loop."""

    def __init__(self, machine: Machine, world: World) -> None:
        """Make a driver; `run` starts the party."""
        self._machine = machine
        self._world = world
        self._loop = asyncio.get_running_loop()
        self._inbox: deque[Event] = deque()
        self._is_draining = False
        self._stopping = False
        self._told = False
        self._held: list[Conversation] = []
        self._closed = False
        self._end: asyncio.Future[Ended] = self._loop.create_future()
        self._conversations: dict[str, Conversation] = {}
        self._crowd = Crowd(self._conversations.__len__)
        self._opened = 0
        self._timers = Timers(self._loop, lambda timer: self.post(Fired(timer)))
        self._tasks: set[asyncio.Task[None]] = set()
        self._calls = 0
        self._texts = Texts(world.writer, self._loop, self.post, self.fail)
        self._records = Recorder(
            world.journal,
            done=lambda ticket: self.post(Durable(ticket)),
            failed=self.fail,
            is_crowded=self._crowd.is_there,
        )
        self._rows: GroupWriter[tuple[Row, ...]] = GroupWriter(
            write=self._write_rows,
            done=lambda ticket: self.post(Durable(ticket)),
            failed=self.fail,
            pace=Pace(group_pieces=1),
        )

    # ------------------------------------------------------------------ for the process and doors

    async def run(self) -> Ended:
        """Start the party and return when it has ended.

        Raises:
            BaseException: Whatever left the machine's step, or a flush: the process must end.
        """
        self.post(Started())
        try:
            return await self._end
        finally:
            self._close()

    def open(self, message: Message, caller: str = "") -> Conversation:
        """Let a message arrive from somebody, or from anybody.

        Raises:
            Refusal: `door.busy` when too many conversations are open, `door.stopping`.
        """
        if self._end.done():
            raise Refusal("door.stopping", "this node has stopped", hint="ask another node")
        if len(self._conversations) >= OPEN_CONVERSATIONS:
            raise Refusal(
                "door.busy",
                f"{OPEN_CONVERSATIONS} conversations are open already",
                hint="try again in a moment, or ask another node",
            )
        self._opened += 1
        conversation = Conversation(f"c{self._opened}", self._hang_up, self._take_enough)
        self._conversations[conversation.name] = conversation
        arrived = Arrived(conversation.name, message, caller)
        # Who asks alone waits for no turn of the loop. Of several, more come until then.
        if self._crowd.is_there() or self._is_draining:
            self.post(arrived)
        else:
            self._inbox.append(arrived)
            self._drain()
        return conversation

    def post(self, event: Event) -> None:
        """Put an event into the inbox: it happens when the loop comes round."""
        self._inbox.append(event)
        if not self._is_draining:
            self._is_draining = True
            self._loop.call_soon(self._drain)

    def fail(self, error: BaseException) -> None:
        """End the party: something that it rests upon broke."""
        if not self._end.done():
            self._end.set_exception(error)

    async def stop(self, *, grace_s: float, when_quiet: bool) -> None:
        """Stop in order: what is held may take `grace_s` to be finished.

        Args:
            grace_s: How long to wait.
            when_quiet: End as soon as nothing is held here; otherwise wait for the machine's own
                `Halt` (it may have to settle first).
        """
        if not self._stopping:
            self._stopping = True
            self.post(Stopping())
        deadline = self._loop.time() + grace_s
        # Quiet is the absence of many things; looking now and then, once in a process's life, is
        # simpler than an event for each.
        while not self._end.done() and self._loop.time() < deadline:
            if when_quiet and self._is_quiet():
                break
            await asyncio.sleep(0.01)
        if not self._end.done():
            self._end.set_result(Ended(halt=None))

    # ------------------------------------------------------------------------------- the one loop

    def _drain(self) -> None:
        self._is_draining = True
        until = time.monotonic() + BATCH_S  # uvloop tells one time for a whole round
        try:
            is_done = self._step_on(until)
        # The outermost loop of the process: whatever left a step is a bug and must end it.
        except Exception as error:  # noqa: BLE001
            self.fail(error)
            return
        if is_done:
            self._is_draining = False
        elif not self._end.done():
            self._loop.call_soon(self._drain_on)

    def _drain_on(self) -> None:
        """Go on after the loop's other work: what was said before has left."""
        self._write_down()
        self._drain()

    def _step_on(self, until: float) -> bool:
        """Step a batch; tell whether nothing is left to do before the next event comes."""
        left = BATCH_EVENTS
        while not self._end.done():
            if not self._inbox:
                if self._told and (self._records.is_waiting or self._rows.is_waiting):
                    # A flush on this loop would hold up what was said, as a text's tokens.
                    return False
                self._write_down()
                if not self._inbox:
                    return True
            if not left or time.monotonic() > until:
                return False
            left -= 1
            self._step(self._inbox.popleft())
        self._write_down()
        return False

    def _step(self, event: Event) -> None:
        world = self._world
        for wish in self._machine.step(event, Moment(world.clock_ms(), world.entropy())):
            self._grant(wish)

    def _write_down(self) -> None:
        self._told = False
        if self._closed:
            return
        for conversation in self._held:
            if not conversation.has_ended:
                self._loop.call_later(QUICK_S, conversation.wake)
        self._held.clear()
        self._records.kick()
        self._rows.kick()

    def _grant(self, wish: Wish) -> None:
        match wish:
            case Reply():
                self._reply(wish)
            case Send():
                self._send(wish)
            case Journal():
                self._records.add(wish.ticket, wish.records)
            case Commit():
                self._rows.add(wish.ticket, wish.rows)
            case Compute():
                self._compute(wish)
            case Generate() | Curtail():
                self._texts.take(wish)
            case SetTimer(timer=timer, after_ms=after_ms):
                self._timers.set(timer, after_ms / 1000)
            case CancelTimer(timer=timer):
                self._timers.cancel(timer)
            case Report():
                self._world.report(wish)
            case Halt():
                if not self._end.done():
                    self._end.set_result(Ended(halt=wish))
            case _:
                assert_never(wish)

    def _is_quiet(self) -> bool:
        held = self._inbox or self._conversations or len(self._texts)
        return not held and self._records.is_idle and self._rows.is_idle()

    def _close(self) -> None:
        self._closed = True
        for conversation in self._conversations.values():
            conversation.cut()
        self._conversations.clear()
        self._timers.close()
        for task in self._tasks:
            task.cancel()
        self._texts.close()
        self._records.close()
        self._rows.close()

    # ------------------------------------------------------------------------------ single wishes

    def _reply(self, wish: Reply) -> None:
        conversation = self._conversations.get(wish.conversation)
        if conversation is None:
            return  # hung up; the machine may not have been told yet
        if wish.last:
            del self._conversations[wish.conversation]
        # An acceptance is told with its answer, if that comes soon: one response, not two.
        held = isinstance(wish.message, Accepted) and self._records.is_quick
        conversation.put(wish, held=held)
        if held:
            self._held.append(conversation)
        else:
            self._told = True

    def _hang_up(self, conversation: Conversation) -> None:
        if self._conversations.pop(conversation.name, None) is not None:
            self.post(Hung(conversation.name))

    def _take_enough(self, conversation: Conversation) -> None:
        if conversation.name in self._conversations:
            self.post(Enough(conversation.name))

    def _send(self, wish: Send) -> None:
        if self._calls >= OPEN_CALLS:
            self.post(Unreachable(wish.call, f"{OPEN_CALLS} calls are open already"))
            return
        self._calls += 1
        self._begin(self._converse(wish))

    async def _converse(self, wish: Send) -> None:
        transport = self._world.transport
        if transport is None:
            raise Misuse("driver.no-transport", "a party without a transport wished to send")
        reason = "the conversation ended without a last reply"
        replies = transport.converse(wish.to, wish.message, wish.timeout_ms / 1000)
        try:
            async with aclosing(replies):
                count = 0
                async for message in replies:
                    # Of tokens the party itself counts how many there can be.
                    count += not isinstance(message, Produced)
                    last = not isinstance(message, Accepted | Produced)
                    self.post(Returned(wish.call, message, last))
                    if last:
                        return
                    if count >= REPLIES_PER_CALL:
                        reason = f"more than {REPLIES_PER_CALL} replies"
                        break
        except (Fault, Refusal) as error:
            reason = str(error)
        finally:
            self._calls -= 1
        self.post(Unreachable(wish.call, reason))

    def _compute(self, wish: Compute) -> None:
        compute = self._world.compute
        if compute is None:
            raise Misuse("driver.no-compute", "a party without models wished to compute")
        self._records.begin_job(wish.job)
        outcome = None
        # Of several, the pool joins what it can while the loop goes on: less work for all of them.
        if wish.arithmetic == "float" and not self._crowd.is_there():
            outcome = compute.answer(wish.package, wish.inputs)
        if outcome is not None:
            self._computed(wish.job, outcome)
            return
        try:
            submit = compute.submit_exact if wish.arithmetic == "exact" else compute.submit
            submit(wish.package, wish.inputs, partial(self._cross, wish.job))
        except Refusal as refusal:
            self._computed(wish.job, refusal)

    def _cross(self, job: str, outcome: tuple[Tensor, ...] | ProbatumError) -> None:
        """Come over from a thread of the pool."""
        self._loop.call_soon_threadsafe(self._computed, job, outcome)

    def _computed(self, job: str, outcome: tuple[Tensor, ...] | ProbatumError) -> None:
        self._records.end_job(job, answered=isinstance(outcome, tuple))
        if isinstance(outcome, tuple | Refusal | Fault):
            self.post(Computed(job, outcome))
        else:  # a Misuse is a bug of this process
            self.fail(outcome)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    # -------------------------------------------------------------------------------------- disks

    def _write_rows(self, pieces: list[tuple[Row, ...]]) -> None:
        if self._world.tables is None:
            raise Misuse("driver.no-tables", "a party without tables wished to commit")
        for rows in pieces:
            self._world.tables.commit(rows)
