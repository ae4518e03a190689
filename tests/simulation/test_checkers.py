"""A checker that cannot fail checks nothing: each promise is broken here, and each is noticed."""

from __future__ import annotations

from contextlib import contextmanager

import msgspec
import pytest

from probatum.client.wallet import TransactionSender
from probatum.consensus import tables
from probatum.evidence.blame import Blame
from probatum.machine.events import Durable, Unreachable
from probatum.machine.wishes import Commit, Journal
from probatum.nodes.gateway.machine import Gateway
from probatum.nodes.inference import sessions
from probatum.nodes.inference.journal_records import AnsweredRecord, decode_journal_record
from probatum.nodes.inference.logbook import SessionLog
from probatum.protocol.encoding import encode
from probatum.protocol.headers import SignedHeader
from probatum.storm.plan import PLANS, Plan
from probatum.storm.run import blow, check_promises
from probatum.storm.world import build_world

SMALL = Plan(clients=2, requests_per_client=4, storm_ms=20_000)


@pytest.fixture(scope="module")
def world():
    world = build_world(5, SMALL)
    blow(world)
    check_promises(world)
    assert world.kernel.trace.findings == []
    return world


@contextmanager
def put_back(holder, key, value):
    """Change one item of a list or dictionary, for a while."""
    kept = holder[key]
    holder[key] = value
    try:
        yield
    finally:
        holder[key] = kept


def list_codes(world):
    """What the checkers find now; the world is as it was afterwards."""
    trace = world.kernel.trace
    receipts = dict(world.witness.receipts)
    check_promises(world)
    codes = {finding.code for finding in trace.findings}
    trace.findings.clear()
    world.witness.receipts.clear()
    world.witness.receipts.update(receipts)
    return codes


def find_answer(world):
    """The first log entry on any node's disk: journal, place in it, record."""
    for name, role in sorted(world.roles.items()):
        journal = world.kernel.parties[name].disk.journal
        for at, data in enumerate(journal):
            record = decode_journal_record(data) if role == "inference" else None
            if isinstance(record, AnsweredRecord):
                return journal, at, record
    raise AssertionError("nobody answered")


def get_settled(world):
    return next(r for n in world.notebooks.values() for r in n.requests if r.stand == "settled")


def test_nothing_is_found_where_nothing_is_wrong(world):
    assert list_codes(world) == set()


def test_a_log_entry_that_is_gone_from_the_disk_is_missed(world):
    journal, at, _ = find_answer(world)
    data = journal.pop(at)
    codes = list_codes(world)
    journal.insert(at, data)
    assert {"logs.not-on-disk"} <= codes
    assert codes & {"logs.other-root", "logs.index-used-twice"}


def test_an_index_that_is_used_twice_is_found(world):
    journal, at, record = find_answer(world)
    other = encode(msgspec.structs.replace(record, payload=get_settled_payload(world, record)))
    journal.insert(at + 1, other)
    codes = list_codes(world)
    journal.pop(at + 1)
    assert "logs.index-used-twice" in codes


def get_settled_payload(world, record):
    return next(p for p in world.witness.receipts.values() if p != record.payload)


def test_two_receipts_at_one_place_are_found(world):
    place, payload = next(iter(sorted(world.witness.receipts.items())))
    other = next(p for p in world.witness.receipts.values() if p != payload)
    with put_back(world.witness.receipts, place, other):
        assert {"witness.index-used-twice", "logs.not-on-disk"} <= list_codes(world)


def test_a_countersignature_that_was_never_flushed_is_found(world):
    sender = next(iter(world.witness.accepted.values()))
    world.witness.accepted[b"never written"] = sender
    codes = list_codes(world)
    del world.witness.accepted[b"never written"]
    assert codes == {"logs.acceptance-not-on-disk"}


def test_a_lost_transaction_is_missed(world):
    outcomes = world.statements["spender-0"].outcomes
    kept = outcomes[0]
    other = type(kept)(
        ticket=kept.ticket,
        code="ok",
        height=kept.height + 1,
        transaction_hash=kept.transaction_hash,
    )
    with put_back(outcomes, 0, other):
        assert list_codes(world) == {"chain.lost-transaction"}
    with put_back(outcomes, 0, type(kept)(ticket="1", code="no", height=0, transaction_hash=b"")):
        assert list_codes(world) == {"chain.refused"}
    outcomes.pop(0)
    assert list_codes(world) == {"chain.no-outcome"}
    outcomes.insert(0, kept)


def test_a_transaction_too_many_is_found(world):
    statement = world.statements["spender-0"]
    statement.due -= 1
    codes = list_codes(world)
    statement.due += 1
    assert "chain.sent-twice" in codes


def test_a_block_that_is_gone_is_missed(world):
    headers = world.kernel.parties["full"].disk.tables[tables.HEADER]
    last = tables.height_key(len(headers))
    kept = headers.pop(last)
    codes = list_codes(world)
    headers[last] = kept
    assert "chain.lost-header" in codes


def test_another_block_at_a_height_that_was_shown_is_found(world):
    height = max(world.witness.headers)
    with put_back(world.witness.headers, height, b"other"):
        assert list_codes(world) == {"chain.other-header"}


def test_a_header_of_another_state_is_found(world):
    headers = world.kernel.parties["full"].disk.tables[tables.HEADER]
    key = tables.height_key(3)
    signed = msgspec.msgpack.decode(headers[key], type=SignedHeader)
    forged = msgspec.structs.replace(
        signed, header=msgspec.structs.replace(signed.header, state_root=bytes(32))
    )
    with put_back(headers, key, encode(forged)):
        assert "chain.bad-block" in list_codes(world)


def test_money_from_nowhere_is_found(world):
    genesis = world.genesis
    first = genesis.balances[0]
    richer = msgspec.structs.replace(first, balance_units=first.balance_units + 1)
    world.genesis = msgspec.structs.replace(genesis, balances=(richer, *genesis.balances[1:]))
    codes = list_codes(world)
    world.genesis = genesis
    assert codes & {"chain.bad-block", "chain.other-result"}


def test_an_answer_that_does_not_settle_is_found(world):
    request = get_settled(world)
    request.stand = "answered"
    codes = list_codes(world)
    request.stand = "settled"
    assert "answers.no-end" in codes


def test_a_settled_bundle_with_another_receipt_is_found(world):
    one, two = [r for n in world.notebooks.values() for r in n.requests if r.stand == "settled"][:2]
    kept, one.settled = one.settled, two.settled
    codes = list_codes(world)
    one.settled = kept
    assert codes & {"answers.bad-bundle", "answers.other-receipt"}


def test_a_wrong_answer_is_found(world):
    request = get_settled(world)
    kept = request.outputs
    request.outputs = (msgspec.structs.replace(kept[0], data=bytes(len(kept[0].data))),)
    codes = list_codes(world)
    request.outputs = kept
    assert "answers.bad-bundle" in codes


def test_a_silent_network_after_the_storm_is_found(world):
    request = next(r for n in world.notebooks.values() for r in n.requests if r.last)
    request.stand = "failed"
    codes = list_codes(world)
    request.stand = "settled"
    assert "answers.no-liveness" in codes


def test_records_that_are_not_records_are_found(world):
    request = get_settled(world)
    kept = request.bundle
    request.stand, request.bundle = "failed", kept[:-3]
    codes = list_codes(world)
    request.stand, request.bundle = "settled", kept
    assert "answers.bad-records" in codes


def test_blame_that_is_still_open_is_found(world, monkeypatch):
    request = get_settled(world)
    request.stand = "failed"
    monkeypatch.setattr("probatum.storm.checkers.answers.assign_blame", blame_nobody)
    codes = list_codes(world)
    request.stand = "settled"
    assert "answers.no-blame" in codes


def blame_nobody(*_, **__):
    return Blame(status="open", party=None, reason="later", branches=(), height=0)


def test_what_is_held_for_ever_is_found(world):
    gateway = world.kernel.parties["gateway-0"].machine
    assert isinstance(gateway, Gateway)
    gateway._desk._open.add("a request", None)
    codes = list_codes(world)
    gateway._desk._open.remove("a request")
    assert codes == {"memory.held"}


class Hasty:
    """A machine that believes its disk before the disk has written."""

    def __init__(self, honest):
        self.honest = honest
        self.believed = set()

    def step(self, event, moment):
        if isinstance(event, Durable) and event.ticket in self.believed:
            self.believed.remove(event.ticket)
            return ()
        wishes = []
        events = [event]
        while events:
            for wish in self.honest.step(events.pop(0), moment):
                wishes.append(wish)
                if isinstance(wish, Journal | Commit):
                    self.believed.add(wish.ticket)
                    events.append(Durable(wish.ticket))
        return tuple(wishes)


def blow_with(seed, role, wrap, plan):
    world = build_world(seed, plan)
    for name, its_role in world.roles.items():
        if its_role == role:
            party = world.kernel.parties[name]
            party.build = lambda disk, build=party.build: wrap(build(disk))
    blow(world)
    check_promises(world)
    return {finding.code for finding in world.kernel.trace.findings}


def find_with(role, wrap, wanted, seeds=range(12), plan=None):
    """Blow storms until one shows what is wanted; what they show otherwise."""
    plan = plan or Plan(crashes=10, traps=20, clients=3)
    seen = set()
    for seed in seeds:
        seen |= blow_with(seed, role, wrap, plan)
        if seen & wanted:
            return set()
    return seen or {"nothing was found"}


def test_a_node_that_signs_before_it_writes_is_caught():
    wanted = {"logs.not-on-disk", "logs.acceptance-not-on-disk", "witness.index-used-twice"}
    assert find_with("inference", Hasty, wanted) == set()


def test_a_gateway_that_answers_before_it_writes_is_caught():
    assert find_with("gateway", Hasty, {"answers.no-end"}) == set()


def test_a_gateway_that_passes_lies_on_is_caught(monkeypatch):
    monkeypatch.setattr("probatum.nodes.gateway.branches.check_outputs", lambda *_: None)
    wanted = {"answers.passed-on"}
    assert find_with("gateway", lambda honest: honest, wanted, plan=PLANS["liar"]) == set()


def test_a_ledger_that_says_done_before_it_is_on_disk_is_caught():
    wanted = {"chain.lost-transaction", "chain.lost-header", "chain.other-header"}
    assert find_with("full", Hasty, wanted) == set()


def test_a_wallet_that_signs_anew_when_it_hears_nothing_is_caught(monkeypatch):
    honest = TransactionSender.step

    def step(self, event, moment):
        if isinstance(event, Unreachable) and event.call == self._open:
            self._flight = self._nonce = None
        return honest(self, event, moment)

    monkeypatch.setattr(TransactionSender, "step", step)
    assert find_with("full", lambda honest: honest, {"chain.sent-twice"}) == set()


def test_a_node_that_settles_what_is_not_written_is_caught(monkeypatch):
    honest = SessionLog.append

    def append(self, entry):
        index = honest(self, entry)
        self.mark_durable(len(self))
        return index

    monkeypatch.setattr(SessionLog, "append", append)
    wanted = {"logs.other-root"}
    assert find_with("full", lambda honest: honest, wanted, range(30), PLANS["mud"]) == set()


def test_a_network_that_never_stands_is_found(monkeypatch):
    monkeypatch.setattr(sessions.SessionOpening, "plan", lambda *_: ())
    world = build_world(1, SMALL)
    blow(world)
    assert "run.no-start" in {finding.code for finding in world.kernel.trace.findings}
