"""The application: what ABCI's calls keep, what they only compute, and what they refuse (`ABCI-1`,
`ABCI-2`, `ABCI-3`).
"""

import asyncio
import dataclasses

import pytest

from probatum.consensus.chain.memory_store import MemoryStore
from probatum.consensus.cometbft import verdicts
from probatum.consensus.cometbft.adapter_settings import AdapterSettings
from probatum.consensus.cometbft.parts import (
    BlockIDFlag,
    CommitInfo,
    Misbehavior,
    MisbehaviorType,
    Timestamp,
    Validator,
    VersionParams,
    VoteInfo,
)
from probatum.consensus.cometbft.parts import ConsensusParams as EngineParams
from probatum.consensus.mempool import EXPIRY_BLOCKS
from probatum.consensus.tables import BLOCK, TABLES
from probatum.errors import Misuse, Refusal
from probatum.ledger.genesis import encode_genesis
from probatum.protocol import limits
from probatum.protocol.blocks import Block
from probatum.protocol.encoding import decode
from probatum.protocol.transactions.kinds import CollectVouchers, PublishModel, Stake, Transfer
from tests.chain import FEE, RICH, account
from tests.comet import Comet
from tests.validators import consensus_address, make_test_validator_genesis

PAY = Transfer(to=account(1).address, amount=5)
MODEL = {"name": "m" * 64, "version": "1" * 32, "package": bytes(32), "size_bytes": 1}
ACCEPT, REJECT = 1, 2


@pytest.fixture
def comet():
    return Comet()


def dump(store):
    return {table: dict(store.scan(table, b"", b"", 1_000_000)) for table in TABLES}


def break_signature(comet, signer):
    """A transaction whose every byte is in order, signed by somebody else."""
    good = comet.make(signer, PAY)
    other = comet.make(account(3), PAY, nonce=0)
    return good[:-65] + other[-65:]


def test_info_tells_what_was_committed_last(comet):
    assert comet.info() == (0, comet.domain.genesis_hash)
    said = comet.adapter.finalize_block(comet.make_block([comet.make(account(0), PAY)]))
    assert comet.info() == (0, comet.domain.genesis_hash)
    comet.commit()
    assert comet.info() == (1, said.app_hash)
    assert comet.restart().info() == (1, said.app_hash)


def test_finalizing_keeps_nothing(comet):
    comet.do(account(0), PAY)
    before = dump(comet.store)
    comet.check(comet.make(account(0), PAY))
    block = comet.propose()
    comet.judge(block)
    comet.finalize(block)
    assert dump(comet.store) == before


def test_a_commit_needs_a_finalized_block_of_this_connection(comet):
    with pytest.raises(Misuse, match="no block"):
        comet.commit()
    comet.finalize(comet.make_block([]))
    comet.adapter.reconnected()
    with pytest.raises(Misuse, match="no block"):
        comet.commit()


def test_heights_follow_one_another(comet):
    with pytest.raises(Misuse, match="height 2 came after 0"):
        comet.finalize(comet.make_block([], height=2))
    assert comet.judge(comet.make_block([], height=2)) == REJECT


def test_a_block_holds_the_inputs_that_the_engine_gave(comet):
    comet.block()
    votes = CommitInfo(
        votes=tuple(
            VoteInfo(
                validator=Validator(address=consensus_address(n), power=10), block_id_flag=flag
            )
            for n, flag in enumerate((BlockIDFlag.COMMIT, BlockIDFlag.ABSENT, BlockIDFlag.NIL))
        )
    )
    found = Misbehavior(
        type=MisbehaviorType.DUPLICATE_VOTE,
        validator=Validator(address=consensus_address(2), power=10),
        height=1,
        time=Timestamp(seconds=3, nanos=999_999),
        total_voting_power=40,
    )
    comet.time = Timestamp(seconds=9, nanos=7_999_999)
    comet.decide(comet.make_block([], votes=votes, misbehavior=[found], proposer=3))
    kept = decode(Block, comet.store.get(BLOCK, (2).to_bytes(8, "big")), limit_bytes=1 << 20)
    assert kept.time_ms == 9_007
    assert kept.proposer == consensus_address(3)
    assert [vote.signed for vote in kept.votes] == [True, False, True]
    (named,) = kept.misbehaviour
    assert (named.kind, named.validator) == ("duplicate-vote", consensus_address(2))
    assert (named.height, named.time_ms, named.power, named.total_power) == (1, 3_000, 10, 40)


def test_times_increase_whatever_the_engine_says(comet):
    comet.time = Timestamp(seconds=5)
    for seconds in (5, 4, 5, 6):
        comet.time = Timestamp(seconds=seconds)
        comet.decide(comet.make_block([]))
    times = [
        decode(Block, value, limit_bytes=1 << 20).time_ms
        for value in dump(comet.store)[BLOCK].values()
    ]
    assert times == [5_000, 5_001, 5_002, 6_000]


def test_what_the_engine_never_says_stops_the_application(comet):
    vote = VoteInfo(validator=Validator(address=consensus_address(0), power=1), block_id_flag=0)
    with pytest.raises(Misuse, match="flag 0"):
        comet.finalize(comet.make_block([], votes=CommitInfo(votes=(vote,))))
    with pytest.raises(Misuse, match="numbered 0"):
        comet.finalize(comet.make_block([], misbehavior=[Misbehavior()]))
    with pytest.raises(Refusal, match="0 bytes, not 20"):
        comet.finalize(dataclasses.replace(comet.make_block([]), proposer_address=b""))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"chain_id": "probatum-7-0000000000000000"}, "chain id"),
        ({"validators": ()}, "validators"),
        ({"initial_height": 2}, "first height"),
        ({"consensus_params": None}, "application version"),
        ({"consensus_params": EngineParams(version=VersionParams(app=0))}, "application version"),
    ],
)
def test_another_genesis_is_refused_and_named(comet, changes, named):
    with pytest.raises(Refusal, match=named) as refused:
        comet.adapter.init_chain(comet.make_init(**changes))
    assert refused.value.code == "abci.other-genesis"


def test_another_genesis_document_is_refused(comet):
    other = encode_genesis(make_test_validator_genesis(accounts=3))
    with pytest.raises(Refusal, match="genesis document"):
        comet.adapter.init_chain(comet.make_init(app_state_bytes=other))
    with pytest.raises(Refusal):
        comet.adapter.init_chain(comet.make_init(app_state_bytes=b"{}"))
    comet.block()
    with pytest.raises(Misuse):
        comet.adapter.init_chain(comet.make_init())


# The pool


def test_what_may_not_wait_is_refused_by_name(comet):
    poor = account(77)
    assert comet.check(b"?") == "encoding.malformed"
    assert comet.check(comet.make(poor, PAY)) == "ledger.fee-not-covered"
    assert comet.check(comet.make(account(0), PAY, fee=0)) == "ledger.fee-too-low"
    assert comet.check(break_signature(comet, account(0))) in {
        "transaction.wrong-signer",
        "secp256k1.bad-signature",
    }
    assert comet.check(comet.make(account(0), PAY, nonce=100_000)) == "mempool.nonce-too-far"
    data = comet.make(account(0), PAY)
    assert comet.check(data) == ""
    assert comet.check(data) == "", "who waits already may wait"


def test_a_signature_is_checked_once(comet, monkeypatch):
    checked = []
    real = verdicts.check_sender
    monkeypatch.setattr(
        verdicts, "check_sender", lambda domain, one: (checked.append(one), real(domain, one))
    )
    first, second = comet.make(account(0), PAY), comet.make(account(0), PAY, nonce=1)
    assert comet.check(first) == comet.check(second) == ""
    assert comet.block() == ["ok", "ok"]
    third = comet.make(account(0), PAY)
    comet.check(third)
    comet.adapter.reconnected()
    assert comet.check(third, again=True) == ""
    assert len(checked) == 3


def test_a_recheck_takes_out_what_a_block_made_invalid(comet):
    waiting = comet.make(account(0), PAY)
    behind = comet.make(account(0), PAY, nonce=1)
    comet.check(waiting)
    comet.check(behind)
    # Another node's block spends the nonce, and nearly all that the account has.
    rest = RICH - 2 * FEE + 1
    other = comet.make(account(0), Transfer(to=account(1).address, amount=rest))
    comet.decide(comet.make_block([other]))
    assert comet.check(waiting, again=True) == "ledger.wrong-nonce"
    assert comet.check(behind, again=True) == "ledger.fee-not-covered"
    assert len(comet.adapter.verdicts.pool) == 0
    assert comet.check(behind, again=True) == "ledger.fee-not-covered"


def test_what_waits_too_long_is_dropped_by_a_recheck(comet):
    early = comet.make(account(0), PAY, nonce=5)
    comet.check(early)
    for _ in range(EXPIRY_BLOCKS):
        comet.block()
    assert comet.check(early, again=True) == "mempool.expired"


def test_an_account_that_emptied_itself_holds_no_places_for_nothing(comet):
    """The second one's fee is not covered then, those of the many behind it are, one by one."""
    rest = Transfer(to=account(2).address, amount=RICH - 3 * FEE)
    waiting = [
        comet.make(account(1), rest, nonce=0),
        comet.make(account(1), PAY, nonce=1, fee=10 * FEE),
        *(comet.make(account(1), PAY, nonce=nonce) for nonce in range(2, 100)),
    ]
    for one in waiting:
        assert comet.check(one) == ""
    block = comet.propose()
    assert block.txs == (waiting[0],)
    comet.decide(block)
    left = [one for one in waiting[1:] if comet.check(one, again=True) == ""]
    assert left == waiting[2:4], "as many as the account could pay for"
    assert len(comet.adapter.verdicts.pool) == 2


def test_what_the_engine_did_not_keep_leaves_the_pool(comet):
    """Its own pool was full when the answer came, so it never asks again."""
    comet.check(comet.make(account(0), PAY, nonce=5))
    for _ in range(EXPIRY_BLOCKS):
        comet.block()
    assert len(comet.adapter.verdicts.pool) == 1
    comet.block()
    assert len(comet.adapter.verdicts.pool) == 0


# Proposals


def test_a_proposal_follows_the_pools_order_and_leaves_out_what_cannot_be_applied(comet):
    early = comet.make(account(0), PAY, nonce=1)
    first = comet.make(account(0), PAY, nonce=0)
    poor = account(50)
    broke = comet.make(account(1), Transfer(to=poor.address, amount=RICH - FEE))
    comet.check(early)
    assert comet.propose().txs == ()
    comet.check(first)
    comet.check(broke)
    late = comet.make(account(1), PAY, nonce=1)
    comet.check(late)
    block = comet.propose()
    assert block.txs == (first, early, broke), "nothing is left for the last one's fee"
    assert comet.judge(block) == ACCEPT


def test_a_proposal_keeps_to_its_room(comet):
    data = [comet.make(account(n), PAY) for n in range(8)]
    for one in data:
        comet.check(one)
    assert comet.propose(room=0).txs == ()
    room = len(data[0]) * 3 + 20
    found = comet.propose(room=room).txs
    assert 1 < len(found) <= 3
    assert sum(map(len, found)) <= room
    small = Comet(settings=AdapterSettings(block_transactions=2))
    assert len(small.propose(txs=[small.make(account(n), PAY) for n in range(4)]).txs) == 2


def test_a_proposal_keeps_to_its_shares(comet):
    """A voucher counts as a transaction; what one node proposes the others must accept."""
    vouchers, shares = (b"?",) * limits.VOUCHERS, 1 + limits.VOUCHERS
    fits = limits.BLOCK_TRANSACTIONS // shares
    for nonce in range(fits + 1):
        collect = CollectVouchers(vouchers=vouchers)
        assert comet.check(comet.make(account(0), collect, nonce=nonce, fee=shares * FEE)) == ""
    block = comet.propose(room=limits.BLOCK_BYTES)
    assert len(block.txs) == fits
    assert comet.judge(block) == ACCEPT


def test_what_cannot_be_paid_takes_no_room_of_a_proposal(comet):
    spend = comet.make(account(0), Transfer(to=account(1).address, amount=RICH - FEE))
    large = comet.make(account(0), PublishModel(**MODEL), nonce=1)
    other = comet.make(account(2), PAY)
    for one in (spend, large, other):
        assert comet.check(one) == ""
    room = len(spend) + len(large) + 10
    assert len(other) < len(large)
    assert comet.propose(room=room).txs == (spend, other)


def test_one_transaction_always_has_room_in_a_proposal():
    comet = Comet(settings=AdapterSettings(block_transactions=2))
    many = CollectVouchers(vouchers=(b"?",) * limits.VOUCHERS)
    data = [
        comet.make(account(0), PAY),
        comet.make(account(0), many, nonce=1, fee=100 * FEE),
        comet.make(account(0), PAY, nonce=2),
    ]
    for one in data:
        comet.check(one)
    for one in data:
        block = comet.propose()
        assert block.txs == (one,)
        comet.decide(block)


def test_a_proposal_takes_what_the_engine_shows_though_it_was_not_checked(comet):
    data = comet.make(account(0), PAY)
    assert comet.propose(txs=[data, b"?", comet.make(account(1), PAY, fee=0)]).txs == (data,)


def test_a_proposal_with_anything_free_of_charge_is_rejected(comet):
    good = comet.make(account(0), PAY)
    for bad in (
        b"?",
        break_signature(comet, account(1)),
        comet.make(account(1), PAY, nonce=1),
        comet.make(account(1), PAY, fee=0),
        good,
    ):
        assert comet.judge(comet.make_block([good, bad])) == REJECT
    assert comet.judge(comet.make_block([good])) == ACCEPT
    # Paid for, and refused all the same: that is an outcome like another.
    assert comet.judge(comet.make_block([comet.make(account(0), Stake(amount=2 * RICH))])) == ACCEPT


def test_too_large_a_proposal_is_rejected(comet):
    data = comet.make(account(0), PAY)
    assert comet.judge(comet.make_block([data] * 20_001)) == REJECT
    assert comet.judge(comet.make_block([bytes(1 << 20)] * 17)) == REJECT


def test_a_decided_block_is_applied_whatever_is_in_it(comet):
    good = comet.make(account(0), PAY)
    refused = comet.make(account(1), Stake(amount=2 * RICH))
    said = comet.decide(comet.make_block([b"?", good, good, refused]))
    assert [found.code for found in said.tx_results] == [2, 0, 2, 1]
    assert [found.codespace for found in said.tx_results] == [
        "encoding.malformed",
        "",
        "ledger.wrong-nonce",
        "ledger.balance-too-low",
    ]
    assert all(found.data == b"" for found in said.tx_results)


def test_the_same_block_is_applied_once(comet, monkeypatch):
    applied = []
    real = comet.tip.apply
    monkeypatch.setattr(comet.tip, "apply", lambda *said: (applied.append(1), real(*said))[1])
    comet.check(comet.make(account(0), PAY))
    block = comet.propose()
    comet.judge(block)
    mine = comet.finalize(block).app_hash
    assert applied == []
    fresh = Comet(store=MemoryStore())
    assert fresh.finalize(block).app_hash == mine, "what is remembered changes no answer"
    comet.judge(comet.make_block([]))
    assert comet.finalize(block).app_hash == mine
    assert len(applied) == 2


def test_rounds_without_a_decision_leave_nothing_behind(comet):
    other = Comet(store=MemoryStore())
    data = [comet.make(account(n), PAY) for n in range(3)]
    for one in data:
        comet.check(one)
    for proposer in range(3):
        comet.judge(comet.propose(proposer=proposer))
    block = comet.make_block(data[:1])
    assert comet.decide(block).app_hash == other.decide(block).app_hash


def test_a_commit_may_take_its_time():
    rows = []

    async def write(given):
        await asyncio.sleep(0)
        rows.append(given)
        comet.store.commit(given)

    comet = Comet(write=write)
    comet.finalize(comet.make_block([]))
    answer = comet.commit()
    assert comet.info()[0] == 0
    asyncio.run(_wait(answer))
    assert comet.info()[0] == 1
    assert len(rows) == 1


async def _wait(answer):
    await answer
