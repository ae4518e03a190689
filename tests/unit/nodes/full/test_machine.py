"""The full node's machine: acknowledged means durable, and every door answers."""

import pytest

from probatum.consensus import tables
from probatum.consensus.mempool import EXPIRY_BLOCKS
from probatum.errors import Refusal
from probatum.ledger import apply
from probatum.machine.events import (
    Arrived,
    Durable,
    Fired,
    Hung,
    Moment,
    Started,
    Stopping,
)
from probatum.machine.wishes import Commit, Halt, Reply, SetTimer
from probatum.nodes.full import following
from probatum.nodes.full.machine import FullNode, FullSettings
from probatum.protocol import limits
from probatum.protocol.blocks import Block
from probatum.protocol.encoding import decode, decode_document, encode
from probatum.protocol.hashing import sha256
from probatum.protocol.mapproof import StateProof, check_state_proof
from probatum.protocol.messages import (
    Follow,
    Followed,
    GetBlock,
    GetHeader,
    GetOutcome,
    GetState,
    GetStatus,
    ListState,
    Outcome,
    Refused,
    Submit,
)
from probatum.protocol.records import (
    ACCOUNT,
    ESCROW,
    SUPPLY_KEY,
    EscrowRecord,
    get_account_key,
    get_escrow_key,
)
from probatum.protocol.transactions.kinds import FundEscrow, Stake, Transfer
from probatum.protocol.transactions.signed import compute_transaction_hash
from probatum.protocol.vouchers import compute_escrow_id
from tests.chain import ENGINE, FEE, RICH, Chain, account

PAY = Transfer(to=account(1).address, amount=5)


class Driver:
    """Grants wishes by hand: commits stay in flight until `land`."""

    def __init__(self, chain=None, **settings):
        self.chain = chain or Chain()
        self.node = FullNode(self.chain.engine, FullSettings(**settings))
        self.now_ms = 10_000
        self.replies, self.timers, self.commits, self.halts = {}, {}, [], []
        self.asked = 0

    def step(self, event):
        for wish in self.node.step(event, Moment(self.now_ms, bytes(32))):
            match wish:
                case Reply():
                    assert wish.last
                    assert wish.conversation not in self.replies, "answered twice"
                    self.replies[wish.conversation] = wish.message
                case SetTimer():
                    self.timers[wish.timer] = self.now_ms + wish.after_ms
                case Commit():
                    self.commits.append(wish)
                case Halt():
                    self.halts.append(wish.code)

    def ask(self, message):
        self.asked += 1
        conversation = f"c{self.asked}"
        self.step(Arrived(conversation, message))
        return conversation

    def answer(self, message):
        return self.replies.get(self.ask(message))

    def land(self):
        commit = self.commits.pop(0)
        self.chain.store.commit(commit.rows)
        self.step(Durable(commit.ticket))

    def tick(self):
        self.now_ms = max(self.now_ms, self.timers.pop("block"))
        self.step(Fired("block"))

    def block(self):
        self.tick()
        self.land()

    def pay(self, number=0, body=PAY, **settings):
        return self.chain.make(account(number), body, **settings)


@pytest.fixture
def driver():
    made = Driver()
    made.step(Started())
    made.land()
    return made


def code(reply):
    return reply.code


def test_a_block_is_made_at_once_and_then_every_interval_even_if_empty():
    driver = Driver(block_interval_ms=200)
    driver.step(Started())
    assert len(driver.commits) == 1
    assert driver.timers == {}
    driver.now_ms += 30
    driver.land()
    assert driver.timers["block"] == 10_200, "the disk's time is part of the interval"
    driver.block()
    driver.block()
    assert driver.chain.engine.height == 3


def test_a_slow_disk_delays_the_next_block_only():
    driver = Driver(block_interval_ms=200)
    driver.step(Started())
    driver.step(Fired("block"))
    assert len(driver.commits) == 1, "no block while one is in flight"
    driver.now_ms += 900
    driver.land()
    assert driver.timers["block"] == driver.now_ms


def test_a_transaction_is_acknowledged_only_when_durable(driver):
    data = driver.pay()
    asked = driver.ask(Submit(transaction=data))
    assert code(driver.answer(GetOutcome(transaction_hash=compute_transaction_hash(data)))) == (
        "full.pending"
    )
    driver.tick()
    assert asked not in driver.replies
    driver.land()
    expected = Outcome(transaction_hash=compute_transaction_hash(data), height=2, code="ok")
    assert driver.replies[asked] == expected
    assert driver.answer(GetOutcome(transaction_hash=expected.transaction_hash)) == expected
    assert driver.answer(Submit(transaction=data)) == expected, "repeating is safe"


def test_rows_on_disk_are_told_only_after_durable(driver):
    data = driver.pay()
    first = driver.ask(Submit(transaction=data))
    driver.tick()
    (commit,) = driver.commits
    driver.chain.store.commit(commit.rows)
    again = driver.ask(Submit(transaction=data))
    asked = driver.ask(GetState(keys=(SUPPLY_KEY,), prove=True))
    listed = driver.ask(ListState(prefix=ACCOUNT, after=b"", limit=9))
    assert not {first, again, asked, listed} & set(driver.replies)
    assert driver.answer(GetHeader(height=0)).header.header.height == 1
    driver.land()
    assert driver.replies[first] == driver.replies[again]
    got = driver.replies[asked]
    assert got.header.header.height == driver.replies[listed].height == 2
    (item,) = got.items
    proof = decode_document(StateProof, item.proof, limit_bytes=1 << 16)
    assert check_state_proof(got.header.header.state_root, SUPPLY_KEY, proof) == item.value


def test_duplicates_join_the_wait(driver):
    data = driver.pay()
    asked = [driver.ask(Submit(transaction=data)) for _ in range(3)]
    driver.step(Hung(asked[1]))
    driver.block()
    assert [conversation in driver.replies for conversation in asked] == [True, False, True]


def test_who_hangs_up_loses_the_answer_not_the_transaction(driver):
    data = driver.pay()
    asked = driver.ask(Submit(transaction=data))
    driver.step(Hung(asked))
    driver.block()
    assert asked not in driver.replies
    assert code(driver.answer(Submit(transaction=data))) == "ok"


def test_refusals_come_at_once_with_code_and_hint(driver):
    refused = driver.answer(Submit(transaction=b"junk"))
    assert isinstance(refused, Refused)
    assert (refused.code, refused.retryable) == ("encoding.malformed", False)
    assert code(driver.answer(Submit(transaction=driver.pay(fee=FEE - 1)))) == (
        "ledger.fee-too-low"
    )
    assert code(driver.answer(GetOutcome(transaction_hash=sha256(b"")))) == (
        "full.unknown-transaction"
    )
    outcome = Outcome(transaction_hash=sha256(b""), height=1, code="ok")
    assert code(driver.answer(outcome)) == "full.unknown-message"


def test_a_handlers_refusal_is_an_outcome(driver):
    asked = driver.ask(Submit(transaction=driver.pay(body=Stake(amount=RICH))))
    driver.block()
    assert driver.replies[asked].code == "ledger.balance-too-low"
    assert isinstance(driver.replies[asked], Outcome)


def test_who_waited_for_a_dropped_transaction_hears_of_it(driver):
    spend = driver.pay(body=Transfer(to=account(1).address, amount=RICH - 2 * FEE))
    after = driver.pay(nonce=1, fee=2 * FEE)
    first, second = (driver.ask(Submit(transaction=data)) for data in (spend, after))
    driver.block()
    assert driver.replies[first].code == "ok"
    assert driver.replies[second].code == "ledger.fee-not-covered"
    assert isinstance(driver.replies[second], Refused)


def test_a_transaction_whose_turn_never_comes_is_given_back(driver):
    asked = driver.ask(Submit(transaction=driver.pay(nonce=3)))
    for _ in range(EXPIRY_BLOCKS):
        driver.block()
    assert driver.replies[asked].code == "mempool.expired"
    assert driver.replies[asked].retryable


def test_headers_blocks_and_status(driver):
    driver.ask(Submit(transaction=driver.pay()))
    driver.block()
    last = driver.answer(GetHeader(height=0)).header
    assert last.header.height == 2
    assert driver.answer(GetHeader(height=1)).header.header.height == 1
    block = driver.answer(GetBlock(height=2))
    assert block.header == last
    assert decode(Block, block.block, limit_bytes=1 << 20).transactions == (
        driver.chain.make(account(0), PAY, nonce=0),
    )
    for bad in (GetHeader(height=3), GetBlock(height=3), GetBlock(height=0)):
        assert code(driver.answer(bad)) == "full.no-such-height"
    status = driver.answer(GetStatus())
    assert (status.height, status.key, status.engine) == (2, ENGINE.key, "embedded")
    assert status.genesis_hash == driver.chain.domain.genesis_hash


def test_before_the_first_block_questions_wait():
    driver = Driver()
    asked = driver.ask(GetHeader(height=0))
    follow = driver.ask(Follow(after=0, prefixes=(ACCOUNT,), wait_ms=500))
    assert driver.answer(GetStatus()).height == 0
    driver.step(Started())
    driver.land()
    assert driver.replies[asked].header.header.height == 1
    assert driver.replies[follow].snapshot


def test_listing_state(driver):
    page = driver.answer(ListState(prefix=ACCOUNT, after=b"", limit=3))
    assert (len(page.items), page.more, page.height) == (3, True, 1)
    rest = driver.answer(ListState(prefix=ACCOUNT, after=page.items[-1].key, limit=3))
    assert (len(rest.items), rest.more) == (1, False)


def follow(after, *prefixes, wait_ms=500):
    return Follow(after=after, prefixes=prefixes, wait_ms=wait_ms)


def test_following_from_nothing_gives_all_records(driver):
    followed = driver.answer(follow(0, ACCOUNT, SUPPLY_KEY))
    (view,) = followed.blocks
    assert followed.snapshot
    assert view.header.header.height == 1
    assert [change.key for change in view.changes] == sorted(
        k for k in driver.chain.records() if k.startswith((ACCOUNT, SUPPLY_KEY))
    )
    assert driver.answer(follow(0)).blocks[0].changes == ()


def test_following_gives_changes_under_the_prefixes(driver):
    driver.ask(Submit(transaction=driver.pay()))
    driver.block()
    driver.block()
    followed = driver.answer(follow(1, SUPPLY_KEY))
    assert not followed.snapshot
    assert [view.header.header.height for view in followed.blocks] == [2, 3]
    assert [[c.key for c in view.changes] for view in followed.blocks] == [[SUPPLY_KEY], []]
    keys = {c.key for c in driver.answer(follow(1, ACCOUNT)).blocks[0].changes}
    assert keys == {get_account_key(account(n).address) for n in (0, 1)}


def fund(driver, payer, payee, amount=5):
    body = FundEscrow(payee=account(payee).address, amount=amount)
    driver.ask(Submit(transaction=driver.pay(payer, body)))
    driver.block()


def name_escrow(driver, payer, payee):
    addresses = account(payer).address, account(payee).address
    return get_escrow_key(compute_escrow_id(driver.chain.domain, *addresses))


def follow_escrows(driver, after, *numbers, prefixes=()):
    accounts = tuple(account(number).address for number in numbers)
    followed = driver.answer(
        Follow(after=after, prefixes=prefixes, wait_ms=500, escrows_of=accounts)
    )
    return [{change.key for change in view.changes} for view in followed.blocks]


def test_a_follower_is_told_of_its_own_escrows_alone(driver):
    """PAY-1: those that it is paid from and those that it pays into, whoever opened others."""
    for payer, payee in ((0, 1), (2, 3), (1, 2), (0, 1)):
        fund(driver, payer, payee)
    first, second, third = (name_escrow(driver, *pair) for pair in ((0, 1), (2, 3), (1, 2)))
    assert follow_escrows(driver, 0, 1) == [{first, third}]
    assert follow_escrows(driver, 0, 3, 0) == [{first, second}]
    assert follow_escrows(driver, 1, 1) == [{first}, set(), {third}, {first}]
    assert follow_escrows(driver, 1, 2, prefixes=(SUPPLY_KEY,)) == [
        {SUPPLY_KEY},
        {SUPPLY_KEY, second},
        {SUPPLY_KEY, third},
        {SUPPLY_KEY},
    ]
    # Values are those of now, and a restart finds the same.
    again = Driver(Chain(driver.chain.genesis, driver.chain.store))
    assert follow_escrows(again, 0, 1) == [{first, third}]
    (view,) = again.answer(
        Follow(after=0, prefixes=(), wait_ms=500, escrows_of=(account(0).address,))
    ).blocks
    (change,) = view.changes
    assert decode(EscrowRecord, change.value, limit_bytes=1 << 12).deposited_units == 10


def test_a_store_of_before_lists_whose_escrows_there_are_when_it_is_opened(driver):
    fund(driver, 0, 1)
    store = driver.chain.store
    rows = store.scan(tables.META, b"", b"", 100)
    listed = [key for key, _ in rows if key.startswith(b"part")]
    assert len(listed) == 3
    store.commit((tables.META, key, None) for key in listed)
    again = Driver(Chain(driver.chain.genesis, store))
    assert store.scan(tables.META, b"", b"", 100) == rows
    assert follow_escrows(again, 0, 0) == [{name_escrow(driver, 0, 1)}]


def test_others_escrows_stop_nobody_however_many_they_are(driver, monkeypatch):
    """PAY-1: anybody may open escrows; 180,000 of them fill a snapshot of all."""
    monkeypatch.setattr(following, "_SNAPSHOT_BYTES", limits.MIB)
    fund(driver, 0, 1)
    record = EscrowRecord(
        payer=account(2).address,
        payee=account(3).address,
        deposited_units=5,
        collected_units=0,
        closing_at=None,
        opened_at=2,
    )
    value = encode(record)
    keys = [get_escrow_key(sha256(b"%d" % number)) for number in range(12_000)]
    driver.chain.store.commit((tables.RECORD, key, value) for key in keys)
    assert follow_escrows(driver, 0, 1) == [{name_escrow(driver, 0, 1)}]
    assert code(driver.answer(follow(0, ESCROW))) == "full.snapshot-too-large"


def test_prefixes_may_overlap_and_miss(driver):
    driver.ask(Submit(transaction=driver.pay()))
    driver.block()
    changes = driver.chain.engine.get_changes(2)
    for prefixes in [
        (b"a",),
        (b"a", ACCOUNT, b"account/\xff"),
        (b"supplyx", b"\xff"),
        (b"s", b"a"),
    ]:
        (view,) = driver.answer(follow(1, *prefixes)).blocks
        assert view.changes == tuple(c for c in changes if c.key.startswith(prefixes))


def test_a_follower_waits_for_the_next_block(driver):
    asked = driver.ask(follow(1, ACCOUNT))
    gone = driver.ask(follow(1, ACCOUNT))
    assert asked not in driver.replies
    driver.step(Hung(gone))
    driver.block()
    assert [view.header.header.height for view in driver.replies[asked].blocks] == [2]
    assert gone not in driver.replies
    driver.step(Fired(f"wait:{asked}"))


def test_a_follower_waits_no_longer_than_it_said(driver):
    asked = driver.ask(follow(1, ACCOUNT, wait_ms=300))
    assert driver.timers[f"wait:{asked}"] == driver.now_ms + 300
    driver.step(Fired(f"wait:{asked}"))
    assert driver.replies[asked] == Followed(snapshot=False, blocks=())
    driver.block()


def test_a_follower_that_is_ahead_sees_that_the_chain_is_behind(driver):
    followed = driver.answer(follow(9, ACCOUNT))
    assert followed.snapshot
    assert followed.blocks[0].header.header.height == 1


def test_a_follower_that_was_away_too_long_gets_a_snapshot(monkeypatch):
    from probatum.consensus.embedded.engine import EngineSettings

    driver = Driver(Chain(settings=EngineSettings(keep_changes=2)))
    driver.step(Started())
    driver.land()
    for _ in range(4):
        driver.block()
    assert driver.answer(follow(2, ACCOUNT)).snapshot
    assert not driver.answer(follow(3, ACCOUNT)).snapshot
    monkeypatch.setattr("probatum.nodes.full.following._SNAPSHOT_BYTES", 10)
    assert code(driver.answer(follow(1, ACCOUNT))) == "full.snapshot-too-large"


def test_of_large_snapshots_there_is_one_a_block(driver, monkeypatch):
    monkeypatch.setattr("probatum.nodes.full.following._SMALL_BYTES", 100)
    assert driver.answer(follow(0, ACCOUNT)).snapshot
    busy = driver.answer(follow(0, ACCOUNT))
    assert (busy.code, busy.retryable) == ("full.busy", True)
    assert driver.answer(follow(0, SUPPLY_KEY)).snapshot, "small ones are always given"
    driver.block()
    assert driver.answer(follow(0, ACCOUNT)).snapshot


def test_long_replies_are_cut_between_blocks(driver, monkeypatch):
    for _ in range(5):
        driver.block()
    monkeypatch.setattr("probatum.nodes.full.following._BLOCKS", 2)
    assert len(driver.answer(follow(1, ACCOUNT)).blocks) == 2
    monkeypatch.setattr("probatum.nodes.full.following._READ_BYTES", -1)
    assert len(driver.answer(follow(1, ACCOUNT)).blocks) == 1
    # What is looked through counts, not what is found in it.
    assert len(driver.answer(follow(1)).blocks) == 1


def test_waiting_is_bounded():
    driver = Driver(followers=1, queries=1)
    driver.step(Started())
    driver.land()
    driver.ask(follow(1, ACCOUNT))
    busy = driver.answer(follow(1, ACCOUNT))
    assert (busy.code, busy.retryable) == ("full.busy", True)
    driver.tick()
    assert driver.answer(GetState(keys=(SUPPLY_KEY,), prove=False)) is None
    assert code(driver.answer(GetState(keys=(SUPPLY_KEY,), prove=False))) == "full.busy"


def test_stopping_finishes_what_is_held_and_lets_all_others_go(driver):
    taken = driver.ask(Submit(transaction=driver.pay()))
    driver.tick()
    late = driver.ask(Submit(transaction=driver.pay(2)))
    waiting = driver.ask(follow(2, ACCOUNT))
    driver.step(Stopping())
    assert code(driver.answer(Submit(transaction=driver.pay(3)))) == "full.stopping"
    driver.land()
    assert driver.replies[taken].code == "ok"
    assert (driver.replies[late].code, driver.replies[late].retryable) == ("full.stopping", True)
    assert waiting in driver.replies
    assert "block" not in driver.timers
    driver.step(Fired("block"))
    assert driver.commits == []
    assert driver.answer(GetStatus()).height == 2


def test_a_broken_invariant_halts_instead_of_signing(driver, monkeypatch):
    def mint(state, context, sender, body):
        state.put_account(sender, state.get_account(account(3).address))

    monkeypatch.setattr(apply, "apply_transfer", mint)
    driver.ask(Submit(transaction=driver.pay()))
    driver.tick()
    assert driver.halts == ["ledger.invariant-broken"]
    assert driver.commits == []


def test_after_a_crash_the_same_bytes_get_the_same_outcome(driver):
    data, lost = driver.pay(), driver.pay(1)
    asked = driver.ask(Submit(transaction=data))
    driver.block()
    driver.ask(Submit(transaction=lost))
    driver.tick()
    again = Driver(Chain(store=driver.chain.store))
    assert again.chain.engine.height == 2
    again.step(Started())
    again.land()
    assert again.answer(Submit(transaction=data)) == driver.replies[asked]
    resent = again.ask(Submit(transaction=lost))
    again.block()
    assert again.replies[resent].code == "ok"


def test_the_interval_is_bounded():
    with pytest.raises(Refusal, match="bad-interval"):
        FullSettings(block_interval_ms=49)
