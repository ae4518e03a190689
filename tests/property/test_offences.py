"""An honest node is convicted by nobody, whatever is made of what it truly signed (`LOG-1`)."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from probatum.ledger.params import Params
from probatum.protocol.hashing import sha256
from probatum.protocol.merkle import MerkleLog, leaf_hash
from probatum.protocol.records import OFFENCE, StakeRecord, get_stake_key
from probatum.protocol.transactions.kinds import CloseChallenge, SettleCheckpoint
from tests.chain import OPENER, Chain, account, make_test_genesis
from tests.unit.ledger.handlers.test_offences import (
    OPERATOR,
    REPORTER,
    challenge,
    checkpoint,
    make_payload,
    no_prefix,
    omission,
    two_receipts,
    wrong_entry,
)

PARAMS = Params(
    unbonding_blocks=10_000, challenge_window_blocks=30, challenge_bond_units=5, late_fee_units=0
)


@dataclass
class Session:
    payloads: list = field(default_factory=list)
    log: MerkleLog = field(default_factory=MerkleLog)
    signed: list = field(default_factory=list)
    settled: int = 0


class Honest:
    """A node by the book: entries are durable before they are signed, a start is a session."""

    def __init__(self):
        self.chain = Chain(make_test_genesis(params=PARAMS))
        self.chain.register()
        self.sessions = []
        self.start()

    def start(self):
        body = self.chain.opening(session=len(self.sessions))
        assert self.chain.do(account(0), body) == "ok"
        self.sessions.append(Session())

    def answer(self, window):
        session = self.sessions[-1]
        payload = make_payload(
            len(session.payloads),
            salt=b"%d" % len(session.payloads),
            session=len(self.sessions) - 1,
            include_by=self.chain.engine.height + window,
            opener=OPENER.hex(),
        )
        session.payloads.append(payload)
        session.log.append(leaf_hash(sha256(payload)))

    def sign(self, number):
        number %= len(self.sessions)
        session = self.sessions[number]
        size = len(session.log)
        signed = checkpoint(self.chain, size, session.log.root(size), session=number)
        session.signed.append((size, signed))
        return signed

    def settle(self, number):
        number %= len(self.sessions)
        session = self.sessions[number]
        size = len(session.log)
        if size == session.settled:
            return
        body = SettleCheckpoint(
            operator=OPERATOR,
            session=number,
            checkpoint=self.sign(number),
            consistency=session.log.consistency_proof(session.settled, size),
        )
        assert self.chain.do(account(1), body) == "ok"
        session.settled = size


steps = st.lists(
    st.one_of(
        st.tuples(st.just("answer"), st.integers(0, 4)),
        st.tuples(st.just("sign"), st.integers(0, 2)),
        st.tuples(st.just("settle"), st.integers(0, 2)),
        st.tuples(st.just("challenge"), st.integers(0, 8)),
        st.tuples(st.just("crash"), st.none()),
    ),
    min_size=1,
    max_size=14,
)


def list_payloads(node):
    return [payload for session in node.sessions for payload in session.payloads]


def play(history):
    """Live through a history; challenges may come at any time."""
    node, codes = Honest(), []
    for step, number in history:
        match step:
            case "answer":
                node.answer(number)
            case "sign":
                node.sign(number)
            case "settle":
                node.settle(number)
            case "crash":
                node.start()
            case "challenge":
                known = list_payloads(node)
                if known:
                    body = challenge(known[number % len(known)])
                    codes.append(node.chain.do(REPORTER, body))
    return node, codes


def list_accusations(node, pick):
    """Make every kind of report of what the node signed."""
    known = list_payloads(node)
    for first in known:
        yield two_receipts(first, known[pick % len(known)])
    for number, session in enumerate(node.sessions):
        for index, payload in enumerate(session.payloads):
            for place in {index, pick % len(session.payloads)}:
                if session.settled > place:
                    leaf = leaf_hash(sha256(session.payloads[pick % len(session.payloads)]))
                    proof = session.log.inclusion_proof(place, session.settled)
                    yield wrong_entry(payload, None, leaf=leaf, proof=proof)
            yield omission(index, number)
        for size, signed in session.signed:
            other, against = session.signed[pick % len(session.signed)]
            for high, word in ((session.settled, b""), (other, against)):
                low, top = sorted((size, high))
                for root in (session.log.root(low), session.log.root(top)):
                    proof = session.log.consistency_proof(low, top)
                    yield no_prefix(signed, root, proof, word, number)


@settings(max_examples=25, deadline=None)
@given(history=steps, pick=st.integers(0, 20))
def test_an_honest_node_cannot_be_convicted(history, pick):
    node, codes = play(history)
    chain = node.chain
    assert set(codes) <= {
        "ok",
        "ledger.not-overdue",
        "ledger.covered",
        "ledger.challenged-already",
    }
    # It settles everything in the end, as its duty is, before any challenge's time is up.
    for number in range(len(node.sessions)):
        node.settle(number)
    for body in list(list_accusations(node, pick)):
        assert chain.do(account(1), body) in {
            "ledger.no-conflict",
            "ledger.no-such-challenge",
            "ledger.not-overdue",
            "ledger.covered",
            "merkle.not-included",
            "merkle.not-consistent",
        }
    for number, session in enumerate(node.sessions):
        for index in range(len(session.payloads)):
            proof = session.log.inclusion_proof(index, session.settled)
            body = CloseChallenge(operator=OPERATOR, session=number, index=index, inclusion=proof)
            assert chain.do(account(1), body) in {"ok", "ledger.no-such-challenge"}
    assert not [key for key in chain.records() if key.startswith((OFFENCE, b"challenge/"))]
    assert chain.record(get_stake_key(OPERATOR), StakeRecord).bonded == 2 * 10**9
