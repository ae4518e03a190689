"""An honest node is convicted by nobody, whatever is made of what it truly signed (`LOG-1`)."""

from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

from probatum.ledger.params import Params
from probatum.protocol.hashing import sha256
from probatum.protocol.merkle import MerkleLog, leaf_hash
from probatum.protocol.receipts import decode_receipt
from probatum.protocol.records import (
    CHALLENGE,
    OFFENCE,
    RETURNED,
    ChallengeRecord,
    LossRecord,
    StakeRecord,
    get_loss_key,
    get_stake_key,
)
from probatum.protocol.transactions.kinds import (
    CloseChallenge,
    DeclareLoss,
    ReturnReceipt,
    SettleCheckpoint,
)
from tests.chain import NO_SIGNATURE, OPENER, Chain, account, key, make_test_genesis
from tests.unit.ledger.handlers.test_charges import two_charges
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
    unbonding_blocks=10_000,
    challenge_window_blocks=200,
    challenge_bond_units=5,
    late_fee_units=0,
    loss_epoch_blocks=10_000,
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
        self.gone = 0
        """How many sessions its disk lost; what is known of them below is their holders'."""
        self.declared = 0
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
            # Hand-overs recur from session to session, as they do where a disk was lost.
            price_units=5,
            escrow="ab" * 32,
            running_total_units=5 * len(session.payloads) + 5,
        )
        session.payloads.append(payload)
        session.log.append(leaf_hash(sha256(payload)))

    def lose_disk(self):
        """Start anew with an empty journal, once within the epoch; else only start anew."""
        self.start()
        if not self.gone:
            self.gone = len(self.sessions) - 1

    def declare(self):
        """Say that the log was lost, once the ledger has the session of this life."""
        newest = len(self.sessions) - 1
        body = DeclareLoss(
            operator=OPERATOR, session=newest - 1, sequence=0, authority=NO_SIGNATURE
        )
        assert self.chain.do(account(1), self.chain.authorise(body, key(0))) == "ok"
        self.declared = newest

    def make_good(self, challenge):
        """Put a challenged entry that is gone into the log of this life, and say so."""
        if not self.declared:
            self.declare()
        number = len(self.sessions) - 1
        session = self.sessions[number]
        session.payloads.append(None)
        index = session.log.append(leaf_hash(challenge.entry))
        self.settle(number)
        body = ReturnReceipt(
            operator=OPERATOR,
            session=challenge.session,
            index=challenge.index,
            in_session=number,
            in_index=index,
            inclusion=session.log.inclusion_proof(index, session.settled),
        )
        assert self.chain.do(account(1), body) == "ok"

    def sign(self, number):
        number %= len(self.sessions)
        # What is gone it can sign nothing more for: it signs for the session after it instead.
        number = max(number, self.gone)
        session = self.sessions[number]
        size = len(session.log)
        signed = checkpoint(self.chain, size, session.log.root(size), session=number)
        session.signed.append((size, signed))
        return signed

    def settle(self, number):
        number = max(number % len(self.sessions), self.gone)
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
        st.tuples(st.just("lose disk"), st.none()),
    ),
    min_size=1,
    max_size=14,
)


def list_payloads(node):
    return [payload for session in node.sessions for payload in session.payloads if payload]


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
            case "lose disk":
                node.lose_disk()
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
        yield two_charges(first, known[pick % len(known)])
    for number, session in enumerate(node.sessions):
        for index, payload in enumerate(session.payloads):
            if payload is None:
                continue
            for place in {index, pick % len(session.payloads)}:
                if session.settled > place:
                    leaf = session.log.get_hash(0, pick % len(session.payloads))
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


def list_challenges(chain):
    return [
        chain.record(place, ChallengeRecord)
        for place in chain.records()
        if place.startswith(CHALLENGE)
    ]


def make_good_what_is_gone(node):
    """Every holder of a lost receipt demands it, and gets it in another session's log."""
    chain = node.chain
    while chain.engine.height <= max_height(node):
        chain.block()
    for number in range(node.gone):
        session = node.sessions[number]
        for payload in session.payloads[session.settled :]:
            # Those that it put there for others are asked for by their own receipts, below.
            if payload is not None:
                said = chain.do(REPORTER, challenge(payload))
                assert said in {"ok", "ledger.challenged-already"}
    for case in list_challenges(chain):
        if case.index >= node.sessions[case.session].settled:
            node.make_good(case)


def max_height(node):
    """A height by which every receipt of the node is overdue."""
    return max((decode_receipt(p).log.include_by for p in list_payloads(node)), default=0)


LOST = [
    ("answer", 0),
    ("settle", 0),
    ("answer", 0),
    ("answer", 1),
    ("crash", None),
    ("answer", 0),
    ("challenge", 1),
    ("lose disk", None),
    ("challenge", 3),
    ("answer", 0),
    ("lose disk", None),
]


@settings(max_examples=60, deadline=None)
@example(history=LOST, pick=1)
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
    make_good_what_is_gone(node)
    for body in list(list_accusations(node, pick)):
        assert chain.do(account(1), body) in {
            "ledger.no-conflict",
            "ledger.no-such-challenge",
            "ledger.not-overdue",
            "ledger.covered",
            "merkle.bad-proof",
            "merkle.not-included",
            "merkle.not-consistent",
        }
    for number, session in enumerate(node.sessions):
        for index in range(min(session.settled, len(session.payloads))):
            proof = session.log.inclusion_proof(index, session.settled)
            body = CloseChallenge(operator=OPERATOR, session=number, index=index, inclusion=proof)
            assert chain.do(account(1), body) in {"ok", "ledger.no-such-challenge"}
    assert not [place for place in chain.records() if place.startswith((OFFENCE, CHALLENGE))]
    assert chain.record(get_stake_key(OPERATOR), StakeRecord).bonded == 2 * 10**9


def test_what_two_sessions_lost_is_made_good_by_one_declaration():
    node, _ = play(LOST)
    node.settle(3)
    make_good_what_is_gone(node)
    made_good = [place for place in node.chain.records() if place.startswith(RETURNED)]
    assert len(made_good) == 3
    assert node.chain.record(get_loss_key(OPERATOR), LossRecord).losses == 1
