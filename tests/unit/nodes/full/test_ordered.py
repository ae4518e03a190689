"""The full node whose blocks come from outside: who hands in is told what is sealed (`SEAL-1`)."""

import pytest

from probatum.machine.events import (
    Arrived,
    BlockFinal,
    Fired,
    Hung,
    Moment,
    Returned,
    Started,
    Stopping,
    Unreachable,
)
from probatum.machine.wishes import CancelTimer, Reply, Report, Send, SetTimer
from probatum.nodes.full.answering import FullSettings
from probatum.nodes.full.ordered import ENGINE, OrderedNode
from probatum.protocol.messages import (
    Follow,
    Followed,
    GetOutcome,
    GetState,
    GetStatus,
    Noted,
    Outcome,
    Refused,
    ReportAttack,
    Submit,
)
from probatum.protocol.records import SUPPLY_KEY
from probatum.protocol.transactions.kinds import Transfer
from probatum.protocol.transactions.signed import compute_transaction_hash
from tests.chain import account
from tests.comet import Comet
from tests.light_chain import LightChain, make_voters

PAY = Transfer(to=account(1).address, amount=5)


class Driver:
    """Grants wishes by hand: what goes to the engine stays open until it is answered."""

    def __init__(self, **settings):
        self.comet = Comet()
        self.node = OrderedNode(self.comet.sealed, FullSettings(**settings))
        self.replies, self.timers, self.calls, self.reports = {}, {}, {}, []
        self.asked = 0

    def step(self, event):
        for wish in self.node.step(event, Moment(1_000, bytes(32))):
            match wish:
                case Reply():
                    assert wish.conversation not in self.replies, "answered twice"
                    self.replies[wish.conversation] = wish.message
                case SetTimer():
                    self.timers[wish.timer] = wish.after_ms
                case CancelTimer():
                    self.timers.pop(wish.timer, None)
                case Send():
                    assert wish.to == ENGINE
                    assert wish.call not in self.calls
                    self.calls[wish.call] = wish.message
                case Report():
                    self.reports.append(wish.code)
                case _:
                    raise AssertionError(wish)

    def ask(self, message):
        self.asked += 1
        self.step(Arrived(f"c{self.asked}", message))
        return f"c{self.asked}"

    def answer(self, message):
        return self.replies.get(self.ask(message))

    def engine_takes(self):
        """The engine asks the application about what it was handed, and says that it has it."""
        for call, message in tuple(self.calls.items()):
            assert self.comet.check(message.transaction) == ""
            del self.calls[call]
            self.step(Returned(call, Noted(), last=True))

    def block(self, *, sealed=True):
        block = self.comet.propose()
        self.comet.decide(block)
        if sealed and self.comet.seal():
            self.step(BlockFinal(self.comet.sealed.height, len(block.txs)))

    def pay(self, number=0, body=PAY, **settings):
        return self.comet.make(account(number), body, **settings)


@pytest.fixture
def driver():
    made = Driver()
    made.step(Started())
    made.block()
    made.block()
    return made


def test_an_outcome_is_told_once_its_block_is_sealed(driver):
    data = driver.pay()
    one = driver.ask(Submit(transaction=data))
    assert list(driver.calls.values()) == [Submit(transaction=data)]
    driver.engine_takes()
    assert one not in driver.replies
    two = driver.ask(Submit(transaction=data))
    assert driver.calls == {}, "it waits at the engine already"
    driver.block()
    assert driver.replies == {}, "decided, and nobody could prove it yet"
    pending = driver.answer(GetOutcome(transaction_hash=compute_transaction_hash(data)))
    assert (pending.code, pending.retryable) == ("full.pending", True)
    driver.block()
    found = compute_transaction_hash(data)
    outcome = Outcome(transaction_hash=found, height=3, code="ok")
    assert driver.replies[one] == driver.replies[two] == outcome
    assert driver.timers == {}
    assert driver.answer(Submit(transaction=data)) == outcome
    assert driver.calls == {}


def test_what_the_engine_refuses_is_refused_to_all_who_sent_it(driver):
    data = driver.pay(nonce=100_000)
    one, two = (driver.ask(Submit(transaction=data)) for _ in range(2))
    call, _ = driver.calls.popitem()
    refused = Refused(code="mempool.nonce-too-far", message="far", hint="", retryable=False)
    driver.step(Returned(call, refused, last=True))
    assert driver.replies == {one: refused, two: refused}
    assert driver.timers == {}
    again = driver.ask(Submit(transaction=data))
    assert again not in driver.replies


def test_a_silent_engine_is_named_and_the_caller_may_try_again(driver):
    one = driver.ask(Submit(transaction=driver.pay()))
    (call,) = driver.calls
    driver.step(Unreachable(call, "nobody answers"))
    said = driver.replies[one]
    assert (said.code, said.retryable) == ("full.engine-silent", True)


def test_a_halted_chain_answers_within_a_time(driver):
    one = driver.ask(Submit(transaction=driver.pay()))
    driver.engine_takes()
    ((timer, after_ms),) = driver.timers.items()
    assert after_ms == FullSettings().submit_wait_ms
    driver.step(Fired(timer))
    said = driver.replies[one]
    assert (said.code, said.retryable) == ("full.pending", True)
    driver.block()
    driver.block()
    assert list(driver.replies) == [one]


def test_what_leaves_the_pool_without_a_block_is_told(driver):
    one = driver.ask(Submit(transaction=driver.pay(nonce=3)))
    driver.engine_takes()
    driver.comet.adapter.reconnected()
    driver.block()
    said = driver.replies[one]
    assert (said.code, said.retryable) == ("mempool.expired", True)


def test_a_transaction_on_its_way_to_the_engine_is_not_taken_for_gone(driver):
    one = driver.ask(Submit(transaction=driver.pay()))
    driver.block()
    assert one not in driver.replies
    driver.engine_takes()
    driver.block()
    driver.block()
    assert driver.replies[one].code == "ok"


def test_who_hangs_up_is_forgotten(driver):
    one = driver.ask(Submit(transaction=driver.pay()))
    driver.engine_takes()
    driver.step(Hung(one))
    assert driver.timers == {}
    driver.block()
    driver.block()
    assert driver.replies == {}


def test_questions_wait_for_the_first_seal():
    driver = Driver()
    driver.step(Started())
    one = driver.ask(GetState(keys=(SUPPLY_KEY,), prove=True))
    driver.block(sealed=False)
    assert one not in driver.replies
    driver.block()
    assert driver.replies[one].header.header.height == 1
    status = driver.answer(GetStatus())
    assert (status.height, status.engine, status.key) == (1, "cometbft", None)


def test_followers_are_told_of_sealed_blocks(driver):
    one = driver.ask(Follow(after=1, prefixes=(b"account/",), wait_ms=5_000))
    driver.ask(Submit(transaction=driver.pay()))
    driver.engine_takes()
    driver.block()
    told = driver.replies[one]
    assert isinstance(told, Followed)
    assert [view.header.header.height for view in told.blocks] == [2]
    two = driver.ask(Follow(after=2, prefixes=(b"account/",), wait_ms=5_000))
    three = driver.ask(Follow(after=2, prefixes=(b"account/",), wait_ms=5_000))
    driver.step(Fired(f"wait:{three}"))
    assert driver.replies[three].blocks == ()
    driver.block()
    (view,) = driver.replies[two].blocks
    assert len(view.changes) == 2
    assert driver.reports == ["full.block"]


def test_a_stop_lets_go_of_all_who_wait(driver):
    one = driver.ask(Submit(transaction=driver.pay()))
    two = driver.ask(Follow(after=1, prefixes=(b"account/",), wait_ms=5_000))
    driver.step(Stopping())
    assert driver.replies[one].code == "full.stopping"
    assert driver.replies[two].blocks == ()
    assert driver.answer(Submit(transaction=driver.pay(1))).code == "full.stopping"


def test_a_report_of_an_attack_is_the_engines_to_take():
    driver = Driver()
    report = ReportAttack(header=LightChain({0: make_voters(range(4))}).sign(3), common=1)
    asked = [driver.ask(report) for _ in range(4)]
    assert list(driver.calls.values()) == [report] * 4
    assert driver.answer(report).code == "full.busy", "signatures cost time"
    refused = Refused(code="light.own-header", message="nobody broke a rule")
    ends = (
        lambda call: Returned(call, Noted(), last=True),
        lambda call: Returned(call, refused, last=True),
        lambda call: Unreachable(call, "gone"),
    )
    for end in ends:
        call = next(iter(driver.calls))
        del driver.calls[call]
        driver.step(end(call))
    assert [driver.replies[one] for one in asked[:2]] == [Noted(), refused]
    assert driver.replies[asked[2]].code == "full.engine-silent"
    assert driver.replies[asked[2]].retryable
    driver.ask(report)
    assert len(driver.calls) == 2
