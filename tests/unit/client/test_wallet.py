import pytest

from probatum.client.wallet import TransactionSender
from probatum.errors import Refusal
from probatum.machine.events import Durable, Fired, Moment, Returned, Unreachable
from probatum.machine.wishes import Send, SetTimer
from probatum.protocol.eip712 import Domain
from probatum.protocol.encoding import encode
from probatum.protocol.hashing import sha256
from probatum.protocol.messages import (
    GetOutcome,
    GetState,
    GotState,
    Outcome,
    Refused,
    StateItem,
    Status,
    Submit,
)
from probatum.protocol.records import Account, get_account_key
from probatum.protocol.transactions.kinds import Stake, Transfer
from probatum.protocol.transactions.signed import (
    check_sender,
    compute_transaction_hash,
    decode_transaction,
)
from tests.factories import CHAIN_ID, GATEWAY, GENESIS_HASH, NODES, make_header

LEDGER_AT = "http://127.0.0.1:1"
DOMAIN = Domain(chain_id=CHAIN_ID, genesis_hash=GENESIS_HASH)
MOMENT = Moment(0, bytes(32))
WALLET = NODES[0].wallet
KEY = get_account_key(WALLET.address)
ONE, TWO = Transfer(to=GATEWAY.account, amount=1), Stake(amount=2)
UNKNOWN = Refused(code="full.unknown-transaction", message="never seen")
BUSY = Refused(code="mempool.full", message="busy", retryable=True)
NO = Refused(code="ledger.fee-not-covered", message="no balance")
TAKEN = Refused(code="mempool.nonce-taken", message="another waits")
STALE = Refused(code="ledger.wrong-nonce", message="another nonce")


def account(nonce, *, height=10, key=KEY):
    value = None if nonce is None else encode(Account(balance=9, nonce=nonce))
    item = StateItem(key=key, value=value, proof=b"")
    return GotState(header=make_header(height), items=(item,))


class Wallet:
    """A sender, the wishes of its last step, and all outcomes so far."""

    def __init__(self, **arguments):
        self.sender = TransactionSender(LEDGER_AT, DOMAIN, WALLET, 1_000, **arguments)
        self.outcomes = []
        self.wishes = ()

    def submit(self, ticket, body):
        self.wishes = self.sender.submit(ticket, body)

    @property
    def asked(self):
        (send,) = [wish for wish in self.wishes if isinstance(wish, Send)]
        return send

    @property
    def transaction(self):
        assert isinstance(self.asked.message, Submit)
        return self.asked.message.transaction

    def give(self, event):
        assert self.sender.owns(event)
        step = self.sender.step(event, MOMENT)
        self.wishes = step.wishes
        self.outcomes += step.outcomes

    def reply(self, message):
        self.give(Returned(self.asked.call, message, last=True))

    def lose(self):
        self.give(Unreachable(self.asked.call, "cut"))

    def wait(self):
        (timer,) = [wish for wish in self.wishes if isinstance(wish, SetTimer)]
        self.give(Fired(timer.timer))

    def commit(self, code="ok", height=11):
        digest = compute_transaction_hash(self.transaction)
        self.reply(Outcome(transaction_hash=digest, height=height, code=code))


def sending(nonce=4, **arguments):
    wallet = Wallet(**arguments)
    wallet.submit("a", ONE)
    assert wallet.asked.message == GetState(keys=(KEY,), prove=False)
    wallet.reply(account(nonce))
    return wallet


def test_a_body_is_signed_under_the_accounts_nonce_and_its_outcome_told():
    wallet = sending(4)
    signed = decode_transaction(wallet.transaction)
    check_sender(DOMAIN, signed)
    assert (signed.nonce, signed.fee_units, signed.body) == (4, 1_000, ONE)
    assert wallet.asked.call.startswith("send:")
    digest = compute_transaction_hash(wallet.transaction)
    wallet.commit(height=11)
    (outcome,) = wallet.outcomes
    assert (outcome.ticket, outcome.code, outcome.height) == ("a", "ok", 11)
    assert outcome.transaction_hash == digest
    assert wallet.wishes == ()
    assert len(wallet.sender) == 0


def test_an_account_that_does_not_exist_yet_begins_at_zero():
    assert decode_transaction(sending(None).transaction).nonce == 0


def test_one_is_in_flight_and_the_next_follows_without_asking_the_nonce_again():
    wallet = sending(4)
    assert wallet.sender.submit("b", TWO) == ()
    assert len(wallet.sender) == 2
    wallet.commit()
    signed = decode_transaction(wallet.transaction)
    assert (signed.nonce, signed.body) == (5, TWO)
    wallet.commit()
    assert [outcome.ticket for outcome in wallet.outcomes] == ["a", "b"]
    wallet.submit("c", ONE)
    assert decode_transaction(wallet.transaction).nonce == 6


def test_a_lost_reply_is_followed_by_the_same_bytes():
    wallet = sending()
    before = wallet.transaction
    for _ in range(3):
        wallet.lose()
        wallet.wait()
        assert wallet.transaction == before
    wallet.reply(BUSY)
    wallet.wait()
    assert wallet.transaction == before
    wallet.commit()
    assert wallet.outcomes[0].code == "ok"


def test_a_committed_refusal_is_the_outcome_and_the_nonce_is_asked_again():
    wallet = sending(4)
    wallet.sender.submit("b", TWO)
    wallet.commit(code="ledger.balance-too-low", height=12)
    assert wallet.outcomes[0].code == "ledger.balance-too-low"
    wallet.reply(account(5, height=11))
    assert not any(isinstance(wish, Send) for wish in wallet.wishes), "an older state is no answer"
    wallet.wait()
    wallet.reply(account(5, height=12))
    assert decode_transaction(wallet.transaction).nonce == 5


def test_a_refusal_at_the_door_is_final_if_no_copy_can_be_on_its_way():
    wallet = sending(4)
    wallet.sender.submit("b", TWO)
    wallet.reply(NO)
    assert isinstance(wallet.asked.message, GetOutcome)
    wallet.reply(UNKNOWN)
    wallet.reply(account(4))
    (outcome,) = wallet.outcomes
    assert (outcome.code, outcome.height) == ("ledger.fee-not-covered", 0)
    wallet.reply(account(4))
    assert decode_transaction(wallet.transaction).body == TWO


def test_a_refusal_of_a_second_copy_is_not_believed_at_once():
    """The first copy may be in the ledger's pool, and a second body must not meet it there."""
    wallet = sending(4)
    before = wallet.transaction
    wallet.lose()
    for _ in range(7):
        wallet.wait()
        assert wallet.transaction == before
        wallet.reply(NO)
        wallet.reply(UNKNOWN)
        wallet.reply(account(4))
        assert wallet.outcomes == []
    wallet.wait()
    wallet.reply(NO)
    wallet.reply(UNKNOWN)
    wallet.reply(account(4))
    assert wallet.outcomes[0].code == "ledger.fee-not-covered"


def test_a_copy_refused_because_the_first_is_in_a_block_is_no_failure():
    wallet = sending(4)
    digest = compute_transaction_hash(wallet.transaction)
    wallet.lose()
    wallet.wait()
    wallet.reply(STALE)
    assert wallet.asked.message == GetOutcome(transaction_hash=digest)
    wallet.reply(Outcome(transaction_hash=digest, height=9, code="ok"))
    assert [(o.code, o.height) for o in wallet.outcomes] == [("ok", 9)]


def test_a_nonce_that_another_transaction_waits_under_is_waited_for():
    """After a crash: the earlier life's transaction is in the pool, and will be in a block."""
    wallet = sending(4)
    before = wallet.transaction
    for _ in range(20):
        wallet.reply(TAKEN)
        wallet.reply(UNKNOWN)
        wallet.reply(account(4))
        assert wallet.outcomes == []
        wallet.wait()
        assert wallet.transaction == before
    wallet.reply(STALE)
    wallet.reply(UNKNOWN)
    wallet.reply(account(5))
    signed = decode_transaction(wallet.transaction)
    assert (signed.nonce, signed.body) == (5, ONE)
    wallet.commit()
    assert wallet.outcomes[0].code == "ok"


def test_a_nonce_that_another_sender_used_is_replaced():
    wallet = sending(4)
    wallet.reply(STALE)
    wallet.reply(UNKNOWN)
    wallet.reply(account(6))
    signed = decode_transaction(wallet.transaction)
    assert (signed.nonce, signed.body) == (6, ONE)
    assert wallet.outcomes == []


@pytest.mark.parametrize(
    "reply",
    [
        Outcome(transaction_hash=sha256(b"other"), height=3, code="ok"),
        Status(
            chain_id=1,
            genesis_hash=sha256(b""),
            engine="embedded",
            key=NODES[0].signer.key,
            height=1,
            time_ms=1,
            block_interval_ms=1,
            pending_transactions=0,
        ),
    ],
)
def test_a_reply_that_is_none_is_asked_for_again(reply):
    wallet = sending()
    before = wallet.transaction
    wallet.reply(reply)
    assert wallet.outcomes == []
    wallet.wait()
    assert wallet.transaction == before


@pytest.mark.parametrize(
    "reply",
    [
        account(3, key=get_account_key(GATEWAY.account)),
        GotState(header=make_header(3), items=()),
        GotState(header=make_header(3), items=(StateItem(key=KEY, value=b"\xc1", proof=b""),)),
        UNKNOWN,
        BUSY,
    ],
)
def test_an_account_that_cannot_be_read_is_asked_for_again(reply):
    wallet = Wallet()
    wallet.submit("a", ONE)
    wallet.reply(reply)
    wallet.wait()
    assert isinstance(wallet.asked.message, GetState)


def test_a_full_wallet_says_so():
    wallet = sending(limit=2)
    wallet.sender.submit("b", TWO)
    with pytest.raises(Refusal, match=r"wallet\.full"):
        wallet.sender.submit("c", TWO)


def test_while_it_pauses_nothing_is_sent():
    wallet = sending()
    wallet.lose()
    assert wallet.sender.submit("b", TWO) == ()
    assert wallet.sender.step(Fired("send:retry"), MOMENT).wishes != ()
    assert wallet.sender.step(Fired("send:retry"), MOMENT).wishes == ()
    assert wallet.sender.step(Unreachable("send:0:submit", "late"), MOMENT).wishes == ()
    assert not wallet.sender.owns(Durable("send:1"))
