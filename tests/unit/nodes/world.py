"""A little world for machines of nodes: virtual time, journals, conversations, a test model.

Grants wishes in order, as the drivers do. Nothing is lost here unless a test says so: losing,
delaying and tearing at random is the storm's part.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from probatum.errors import Fault, Refusal
from probatum.machine import events, wishes
from probatum.protocol.hashing import sha256
from probatum.protocol.logprobs import TokenLogprobs, pack_logprobs
from probatum.protocol.tensors import Tensor
from probatum.protocol.texts import Text, make_answer

HOP_MS = 1
FLUSH_MS = 1
COMPUTE_MS = 5


def double(inputs):
    """The test model: it doubles every byte. Not a real model, and nothing claims it is."""
    return tuple(
        Tensor(
            name=tensor.name.replace("x", "y"),
            dtype=tensor.dtype,
            shape=tensor.shape,
            data=bytes(2 * byte % 256 for byte in tensor.data),
        )
        for tensor in inputs
    )


@dataclass
class Party:
    machine: object
    journal: list[bytes]
    store: object = None
    timers: dict[str, int] = field(default_factory=dict)
    reports: list[wishes.Report] = field(default_factory=list)
    halted: wishes.Halt | None = None
    life: int = 0
    compute: object = double
    pen: object = None
    compute_ms: int = COMPUTE_MS


class World:
    """Parties by endpoint."""

    def __init__(self):
        self.now_ms = 1_700_000_000_000
        self.parties: dict[str, Party] = {}
        self.replies: dict[str, list] = {}
        self.sent: list[tuple[str, str, object]] = []
        self.said: list[tuple[str, str, object]] = []
        self.meddle = lambda to, message: message
        self._queue = []
        self._steps = 0
        self._calls: dict[str, tuple[str, int, str, str, int]] = {}
        self._numbers = 0
        self._texts: dict[tuple[str, int, str], bool] = {}
        self.token_ms = 1

    # -- parties

    def start(self, endpoint, machine, *, journal=None, store=None, **more):
        old = self.parties.get(endpoint)
        party = Party(machine, journal if journal is not None else [], store, **more)
        party.life = old.life + 1 if old else 1
        self.parties[endpoint] = party
        self._push(0, endpoint, events.Started())
        return party

    def kill(self, endpoint):
        """The process ends: whoever waits for it learns that, what it had not flushed is gone."""
        party = self.parties[endpoint]
        party.machine = None
        for conversation, (caller, _, call, to, _) in list(self._calls.items()):
            if to == endpoint:
                del self._calls[conversation]
                self._push(HOP_MS, caller, events.Unreachable(call, "the connection was reset"))
            elif caller == endpoint:
                del self._calls[conversation]
                self._push(HOP_MS, to, events.Hung(conversation))

    def tell(self, endpoint, event):
        self._push(0, endpoint, event)

    def ask(self, endpoint, message, name=None):
        """Open a conversation from outside; its replies are in `replies[name]`."""
        self._numbers += 1
        name = name or f"test-{self._numbers}"
        self.replies[name] = []
        self._push(HOP_MS, endpoint, events.Arrived(name, message))
        return name

    # -- time

    def run(self, span_ms):
        """Let time pass."""
        end = self.now_ms + span_ms
        while self._queue and self._queue[0][0] <= end:
            self._step()
        self.now_ms = end

    def run_until(self, condition, limit_ms=60_000):
        """Let time pass until something holds."""
        end = self.now_ms + limit_ms
        while not condition():
            assert self._queue, "nothing more can happen"
            assert self._queue[0][0] <= end, "it did not happen in time"
            self._step()

    def wait(self, name, count=1, limit_ms=60_000):
        """Wait for replies to a conversation and return the last one."""
        self.run_until(lambda: len(self.replies[name]) >= count, limit_ms)
        return self.replies[name][-1]

    def _push(self, after_ms, endpoint, event, extra=None):
        self._numbers += 1
        life = self.parties[endpoint].life if endpoint in self.parties else 0
        item = (self.now_ms + after_ms, self._numbers, endpoint, life, event, extra)
        heapq.heappush(self._queue, item)

    def _step(self):
        self.now_ms, number, endpoint, life, event, extra = heapq.heappop(self._queue)
        party = self.parties.get(endpoint)
        if party is None or party.machine is None or party.halted or party.life != life:
            if isinstance(event, events.Arrived):
                self._hang_up(event.conversation)
            return
        match event:
            case events.Fired(timer=timer):
                if party.timers.get(timer) != extra:
                    return
                del party.timers[timer]
            case events.Durable() if extra is not None:
                extra()
            case events.Unreachable() if extra is not None and self._calls.pop(extra, None) is None:
                return
        self._steps += 1
        moment = events.Moment(self.now_ms, sha256(b"%d %d" % (self._steps, number)))
        for wish in party.machine.step(event, moment):
            self._grant(endpoint, party, wish)

    def _hang_up(self, conversation):
        call = self._calls.pop(conversation, None)
        if call is not None:
            self._push(HOP_MS, call[0], events.Unreachable(call[2], "nobody listens"))

    # -- wishes

    def _grant(self, endpoint, party, wish):
        match wish:
            case wishes.Send():
                self._send(endpoint, party, wish)
            case wishes.Reply():
                self._reply(endpoint, wish)
            case wishes.Journal():
                flush = lambda: party.journal.extend(wish.records)  # noqa: E731
                self._push(FLUSH_MS, endpoint, events.Durable(wish.ticket), flush)
            case wishes.Commit():
                commit = lambda: party.store.commit(wish.rows)  # noqa: E731
                self._push(FLUSH_MS, endpoint, events.Durable(wish.ticket), commit)
            case wishes.Compute():
                self._compute(endpoint, party, wish)
            case wishes.Generate():
                self._write(endpoint, party, wish)
            case wishes.Curtail(job=job):
                if (endpoint, party.life, job) in self._texts:
                    self._texts[endpoint, party.life, job] = True
            case wishes.SetTimer():
                self._numbers += 1
                party.timers[wish.timer] = self._numbers
                self._push(wish.after_ms, endpoint, events.Fired(wish.timer), self._numbers)
            case wishes.CancelTimer(timer=timer):
                party.timers.pop(timer, None)
            case wishes.Report():
                party.reports.append(wish)
            case wishes.Halt():
                party.halted = wish
            case _:
                raise AssertionError(wish)

    def _send(self, endpoint, party, wish):
        self._numbers += 1
        conversation = f"conversation-{self._numbers}"
        message = self.meddle(wish.to, wish.message)
        self.sent.append((endpoint, wish.to, wish.message))
        self._calls[conversation] = (endpoint, party.life, wish.call, wish.to, 0)
        if message is None or wish.to not in self.parties:
            self._hang_up(conversation)
            return
        self._push(HOP_MS, wish.to, events.Arrived(conversation, message))
        late = events.Unreachable(wish.call, "out of time")
        self._push(wish.timeout_ms, endpoint, late, conversation)

    def _reply(self, endpoint, wish):
        message = self.meddle(endpoint, wish.message)
        if message is None:
            return
        self.said.append((endpoint, wish.conversation, message))
        if wish.conversation in self.replies:
            self.replies[wish.conversation].append(message)
            return
        call = self._calls.get(wish.conversation)
        if call is None:
            return
        if wish.last:
            del self._calls[wish.conversation]
        self._push(HOP_MS, call[0], events.Returned(call[2], message, wish.last))

    def _compute(self, endpoint, party, wish):
        try:
            outcome = party.compute(wish.inputs)
        except Fault as fault:
            outcome = fault
        self._push(party.compute_ms, endpoint, events.Computed(wish.job, outcome))

    def _write(self, endpoint, party, wish):
        """Tell one token a millisecond; nobody's pen has an end of its own."""
        name = (endpoint, party.life, wish.job)
        try:
            ids = party.pen(wish.package, wish.inputs, wish.nonce, wish.prefix)
        except (Refusal, Fault) as error:
            ids = error
        if isinstance(ids, Refusal | Fault):
            self._push(party.compute_ms, endpoint, events.Computed(wish.job, ids))
            return
        self._texts[name] = False
        self._tell_token(endpoint, wish, name, ids, len(wish.prefix))

    @staticmethod
    def weigh(ids, top):
        """Tokens' logprobs as engines here tell them: of each token its own, whoever tells."""
        if top is None:
            return b""
        likeliest = tuple((5 + at, -0.125 * at) for at in range(min(top, 4)))
        places = (
            TokenLogprobs(chosen=dict(likeliest).get(one, -1.0 - one), top=likeliest) for one in ids
        )
        return pack_logprobs(tuple(places), top)

    def _tell_token(self, endpoint, wish, name, ids, told):
        job = wish.job

        def go_on():
            if self._texts[name] or told >= len(ids):
                text = Text(ids=ids[:told], ended=told >= len(ids))
                self._push(0, endpoint, events.Computed(job, make_answer(text)))
                return
            more = ids[told : told + 1]
            logprobs = self.weigh(more, wish.top_logprobs)
            self._push(0, endpoint, events.Generated(job, more, logprobs))
            self._tell_token(endpoint, wish, name, ids, told + 1)

        self._push(self.token_ms, endpoint, events.Durable("a tick"), go_on)
