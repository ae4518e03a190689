"""A node is killed after each step of the world in turn: `LOG-1` holds at every one of them.

One gateway, one node, three requests. Whatever the step (a number written down and not asked for,
a receipt on disk and not sent, a transaction on its way): every request is answered, no index has
two payloads, nothing was said before it was durable, and all that is durable gets settled.
"""

from __future__ import annotations

import random

import pytest

from probatum.nodes.inference.journal_records import AnsweredRecord, decode_journal_record
from probatum.protocol import limits
from probatum.protocol.dsse import Envelope, decode_payload
from probatum.protocol.encoding import decode, decode_document
from probatum.protocol.messages import Answer, Answered
from probatum.protocol.receipts import decode_receipt
from probatum.protocol.records import LogRecord, get_log_key
from tests.unit.nodes.gateway.test_machine import make_ask
from tests.unit.nodes.network import GATEWAY, PACKAGE, Network, account, endpoint

A = endpoint("a")
REQUESTS = 3
STRIDE = 8
"""Each run takes every eighth step; rounds of `make nightly` take the others."""


class Story:
    """The network, the kills that are still to come, and what the node has said."""

    def __init__(self, kills=()):
        self.network = Network(("a",))
        self.network.register("gateway", "gateway")
        self.network.register("a", "inference")
        self.network.start_gateway(accept_timeout_ms=300, branch_timeout_ms=2_000)
        self.world = self.network.world
        self.kills = list(kills)
        self.asked = []
        self.said = []
        self.world.meddle = self._listen
        self.steps = 0

    def _listen(self, _, message):
        if isinstance(message, Answered):
            self.said.append(message)
        return message

    def tell(self):
        self.network.start_node("a")
        end = self.world.now_ms + 6_000
        while self.world.now_ms < end:
            self.world._step()
            self.steps += 1
            self._ask_next()
            if self.kills and self.steps == self.kills[0]:
                self.kills.pop(0)
                self.world.kill(A)
                self.network.start_node("a")
        self.world.run(8_000)
        return self

    def _ask_next(self):
        view = self.world.parties[GATEWAY].machine.view
        done = all(self.world.replies[name] for name in self.asked)
        if view.get_offers(PACKAGE) and done and len(self.asked) < REQUESTS:
            self.asked.append(self.world.ask(GATEWAY, make_ask(bytes([len(self.asked)]))))

    def check(self):
        assert self.world.parties[A].halted is None
        assert len(self.asked) == REQUESTS
        for name in self.asked:
            assert [type(reply) for reply in self.world.replies[name]] == [Answer]
        durable = self._list_durable()
        for message in self.said:
            envelope = decode_document(Envelope, message.receipt, limit_bytes=limits.ENVELOPE_BYTES)
            payload = decode_payload(envelope)
            place = decode_receipt(payload).log
            assert durable.get((place.session, place.index)) == payload
        assert len(self.world.parties[GATEWAY].machine._collector) == 0
        self._check_settled(durable)

    def _list_durable(self):
        found = {}
        for data in self.network.journals["a"]:
            record = decode_journal_record(data)
            if isinstance(record, AnsweredRecord):
                place = (record.session, record.index)
                assert place not in found, "one index, two records"
                found[place] = record.payload
        return found

    def _check_settled(self, durable):
        for log in self.world.parties[A].machine._book:
            entries = sum(session == log.session for session, _ in durable)
            value = self.network.get_state(get_log_key(account("a").address, log.session))
            record = decode(LogRecord, value, limit_bytes=1_000) if value else None
            assert (record.size if record else 0) == log.durable == entries


def test_without_a_crash_three_requests_are_answered():
    Story().tell().check()


def test_a_crash_after_any_step_breaks_nothing(seed_round):
    steps = Story().tell().steps
    assert steps > 200
    for step in range(1 + seed_round % STRIDE, steps, STRIDE):
        Story((step,)).tell().check()


@pytest.mark.parametrize("offset", range(12))
def test_several_crashes_break_nothing(offset, seed_round):
    chance = random.Random(12 * seed_round + offset)
    Story(sorted(chance.sample(range(1, 480), 4))).tell().check()
