"""Whatever is lost or repeated on the way, every body is committed once, in order (`PROTO-1`)."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from probatum.client.wallet import TransactionSender
from probatum.machine.events import Fired, Moment, Returned, Unreachable
from probatum.machine.wishes import Send, SetTimer
from probatum.protocol.eip712 import Domain
from probatum.protocol.encoding import encode
from probatum.protocol.messages import (
    GetOutcome,
    GetState,
    GotState,
    Outcome,
    Refused,
    StateItem,
    Submit,
)
from probatum.protocol.records import Account
from probatum.protocol.transactions.kinds import Stake
from probatum.protocol.transactions.signed import compute_transaction_hash, decode_transaction
from tests.factories import CHAIN_ID, GENESIS_HASH, NODES, make_header

DOMAIN = Domain(chain_id=CHAIN_ID, genesis_hash=GENESIS_HASH)
WALLET = NODES[0].wallet


class ToyLedger:
    """Nonces, a pool, blocks; it commits whatever arrives, refuses what a nonce forbids."""

    def __init__(self, taken_at):
        self.height, self.nonce = 1, 0
        self.pool, self.outcomes, self.committed = {}, {}, []
        self.taken_at = set(taken_at)

    def advance(self):
        self.height += 1
        if self.height in self.taken_at:
            self.nonce += 1  # another wallet with the same key was faster
            self.pool.clear()
        for data in list(self.pool.values()):
            signed = decode_transaction(data)
            if signed.nonce == self.nonce:
                self.nonce += 1
                self.committed.append(signed.body)
                digest = compute_transaction_hash(data)
                self.outcomes[digest] = Outcome(
                    transaction_hash=digest, height=self.height, code="ok"
                )
        self.pool.clear()

    def answer(self, message):
        match message:
            case Submit(transaction=data):
                digest = compute_transaction_hash(data)
                if digest not in self.outcomes:
                    if decode_transaction(data).nonce != self.nonce:
                        return Refused(code="ledger.wrong-nonce", message="")
                    self.pool[digest] = data
                    self.advance()
                return self.outcomes.get(
                    digest, Refused(code="mempool.expired", message="", retryable=True)
                )
            case GetOutcome(transaction_hash=digest):
                return self.outcomes.get(digest, Refused(code="full.unknown", message=""))
            case GetState(keys=keys):
                value = encode(Account(balance=1, nonce=self.nonce))
                item = StateItem(key=keys[0], value=value, proof=b"")
                return GotState(header=make_header(self.height), items=(item,))
        raise AssertionError(message)


fates = st.lists(st.sampled_from(["whole", "whole", "lost", "no reply", "twice", "busy"]))


@given(fates, st.integers(1, 5), st.lists(st.integers(2, 8), max_size=2))
def test_each_body_is_committed_once_and_in_order(fates, bodies, taken_at):
    ledger = ToyLedger(taken_at)
    sender = TransactionSender("x", DOMAIN, WALLET, 1)
    fates = list(fates)
    used = defaultdict(set)
    outcomes = []
    wishes = []
    for number in range(bodies):
        wishes += sender.submit(str(number), Stake(amount=number))
    for step in range(400):
        if not wishes:
            break
        wish = wishes.pop(0)
        if isinstance(wish, Send):
            if isinstance(wish.message, Submit):
                signed = decode_transaction(wish.message.transaction)
                used[signed.nonce].add(signed.body.amount)
            fate = fates.pop(0) if fates else "whole"
            if fate == "busy":
                reply = Refused(code="full.busy", message="", retryable=True)
                event = Returned(wish.call, reply, last=True)
            elif fate == "lost":
                event = Unreachable(wish.call, fate)
            else:
                reply = ledger.answer(wish.message)
                if fate == "twice":
                    reply = ledger.answer(wish.message)
                event = Returned(wish.call, reply, last=True)
                if fate == "no reply":
                    event = Unreachable(wish.call, fate)
        elif isinstance(wish, SetTimer):
            event = Fired(wish.timer)
        else:
            continue
        result = sender.step(event, Moment(step, step.to_bytes(32, "big")))
        wishes += result.wishes
        outcomes += result.outcomes
    assert [body.amount for body in ledger.committed] == list(range(bodies))
    assert [(o.ticket, o.code) for o in outcomes] == [(str(n), "ok") for n in range(bodies)]
    assert all(len(amounts) == 1 for amounts in used.values()), "one nonce, two bodies"
