"""The embedded engine: blocks, headers (`HEADER-1`), resuming, replay."""

import msgspec
import pytest

from probatum.consensus import tables
from probatum.consensus.chain.memory_store import MemoryStore
from probatum.consensus.embedded.engine import EmbeddedEngine, EngineSettings
from probatum.errors import Fault, Misuse, Refusal
from probatum.ledger.statemap import EMPTY_ROOT, MerkleMap
from probatum.protocol.blocks import (
    Block,
    compute_results_root,
    compute_transactions_root,
)
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.encoding import decode, encode
from probatum.protocol.hashing import sha256
from probatum.protocol.headers import SignedHeader, compute_header_hash
from probatum.protocol.transactions.kinds import CollectVouchers, Stake, Transfer
from probatum.protocol.transactions.signed import compute_transaction_hash
from probatum.protocol.trust import KeyTrust, check_signed_header
from tests.chain import ENGINE, FEE, RICH, Chain, account, make_test_genesis

PAY = Transfer(to=account(1).address, amount=5)


def trust(chain):
    return KeyTrust(
        format="probatum-trust/1",
        chain_id=chain.domain.chain_id,
        genesis_hash=chain.domain.genesis_hash.hex(),
        engine="embedded",
        key=ENGINE.key.hex(),
    )


def read_block(chain, height):
    return decode(Block, chain.engine.get_block(height), limit_bytes=1 << 24)


def test_headers_are_signed_linked_and_commit_to_everything():
    chain = Chain()
    data = [chain.make(account(n), PAY) for n in range(3)]
    chain.block(*data)
    chain.block()
    first, second = (chain.engine.get_header(height) for height in (1, 2))
    for signed in (first, second):
        check_signed_header(trust(chain), signed)
    assert first.header.previous == chain.domain.genesis_hash
    assert second.header.previous == compute_header_hash(first.header)
    assert first.header.transactions_root == compute_transactions_root(tuple(data))
    assert first.header.results_root == compute_results_root(chain.decided[0].results)
    rebuilt = MerkleMap({}, EMPTY_ROOT).update(chain.records())
    assert second.header.state_root == first.header.state_root == rebuilt.root.digest
    assert read_block(chain, 1).transactions == tuple(data)
    assert chain.engine.get_header(3) is None
    assert chain.engine.get_header(0) is None


def test_times_strictly_increase_whatever_the_clock_says():
    chain = Chain()
    times = []
    for now in (5_000, 4_000, 4_000, 9_000):
        chain.now_ms = now - 100
        chain.block()
        times.append(chain.engine.last_header.header.time_ms)
    assert times == [5_000, 5_001, 5_002, 9_000]
    late = Chain(make_test_genesis())
    late.now_ms = 0
    late.block()
    assert late.engine.last_header.header.time_ms == 1_001


def test_outcomes_are_kept_by_hash_for_charged_transactions_alone():
    chain = Chain()
    good = chain.make(account(0), PAY)
    bad = chain.make(account(1), Stake(amount=10 * RICH))
    assert chain.block(good, bad) == ["ok", "ledger.balance-too-low"]
    for data, code in ((good, "ok"), (bad, "ledger.balance-too-low")):
        found = chain.engine.get_outcome(compute_transaction_hash(data))
        assert (found.code, found.height) == (code, 1)
    assert chain.engine.get_outcome(sha256(b"")) is None


def test_what_can_no_longer_pay_is_dropped_not_included():
    chain = Chain()
    spend = chain.make(account(0), Transfer(to=account(1).address, amount=RICH - 2 * FEE))
    after = chain.make(account(0), PAY, nonce=1, fee=2 * FEE)
    third = chain.make(account(0), PAY, nonce=2)
    assert chain.block(spend, after, third) == ["ok"]
    dropped, behind = chain.decided[0].dropped
    assert dropped.transaction_hash == compute_transaction_hash(after)
    assert dropped.code == "ledger.fee-not-covered"
    assert chain.engine.get_outcome(compute_transaction_hash(after)) is None
    # An account that empties itself would hold the places of all its others for nothing.
    assert behind.transaction_hash == compute_transaction_hash(third)
    assert behind.code == "mempool.expired"
    assert chain.engine.pending == 0
    assert chain.block(chain.make(account(0), Stake(amount=1))) == ["ledger.balance-too-low"]


def test_a_block_takes_no_more_than_its_settings_say():
    chain = Chain(settings=EngineSettings(block_transactions=2))
    waiting = [chain.make(account(0), PAY, nonce=n) for n in range(5)]
    assert [len(chain.block(*waiting)), len(chain.block()), len(chain.block())] == [2, 2, 1]


def test_a_voucher_counts_as_a_transaction_of_a_block():
    # Each may cost a signature check, and how long a block takes is what the setting is for.
    chain = Chain(settings=EngineSettings(block_transactions=8))
    body = CollectVouchers(vouchers=(b"", b""))
    waiting = [chain.make(account(0), body, nonce=n, fee=3 * FEE) for n in range(3)]
    assert [len(chain.block(*waiting)), len(chain.block())] == [2, 1]
    # One that alone has more than fits is not left waiting for ever.
    many = CollectVouchers(vouchers=(b"",) * 9)
    assert len(chain.block(chain.make(account(0), many, fee=10 * FEE))) == 1


def test_what_may_take_long_waits_for_the_next_block_and_transfers_do_not(monkeypatch):
    monkeypatch.setattr("probatum.protocol.limits.BLOCK_CHECKS", 2)
    chain = Chain()
    kinds = [
        (account(0), Stake(amount=1)),
        (account(0), Stake(amount=2)),
        (account(1), Stake(amount=RICH * 10)),
        (account(0), PAY),
        (account(2), PAY),
    ]
    nonces = [0, 1, 0, 2, 0]
    waiting = [chain.make(who, body, nonce=n) for (who, body), n in zip(kinds, nonces, strict=True)]
    # The third one waits though it would be refused; what an account sent after has its turn.
    assert chain.block(*waiting) == ["ok"] * 4
    assert chain.block() == ["ledger.balance-too-low"]


def test_a_block_keeps_to_its_bytes(monkeypatch):
    chain = Chain()
    data = [chain.make(account(n), PAY) for n in range(3)]
    monkeypatch.setattr("probatum.protocol.limits.BLOCK_BYTES", 64 + 2 * (len(data[0]) + 5))
    assert len(chain.block(*data)) == 2
    assert len(chain.engine.get_block(1)) <= 64 + 2 * (len(data[0]) + 5)
    assert chain.block() == ["ok"]


def test_what_was_decided_but_not_committed_never_was():
    chain = Chain()
    chain.block(chain.make(account(0), PAY))
    chain.engine.submit(chain.make(account(0), PAY))
    decided = chain.engine.decide(9_000)
    with pytest.raises(Misuse) as caught:
        chain.engine.decide(9_001)
    assert caught.value.code == "consensus.not-finished"
    again = Chain(store=chain.store)
    assert again.engine.height == 1
    assert again.engine.get_outcome(decided.outcomes[0].transaction_hash) is None
    # Committed, but not finished by the process that ended: it is there.
    chain.store.commit(decided.rows)
    assert chain.engine.get_header(2) is None
    again = Chain(store=chain.store)
    assert again.engine.height == 2
    assert again.engine.last_header == decided.header
    with pytest.raises(Misuse, match="not-decided"):
        again.engine.finish(decided)


def test_resuming_goes_on_as_if_nothing_had_been():
    through, stopping = Chain(), Chain()
    for number in range(6):
        for chain in (through, stopping):
            chain.block(chain.make(account(number % 3), PAY))
        now = stopping.now_ms
        stopping = Chain(store=stopping.store)
        stopping.now_ms = now
    assert stopping.engine.last_header == through.engine.last_header
    assert stopping.store._tables == through.store._tables


def test_the_tree_keeps_two_roots_and_leaves_nothing_behind():
    chain = Chain()
    for number in range(8):
        chain.block(chain.make(account(number % 4), PAY))
    decided = chain.decided
    store = chain.store
    nodes = store._tables[tables.NODE]
    reached = set()
    for back in (0, 1):
        version = store_root(decided[-1 - back])
        for _ in MerkleMap(Seen(nodes, reached), version).iterate():
            pass
    assert reached == set(nodes)


def store_root(decided):
    from probatum.consensus.chain.blocks import Head

    row = next(v for t, k, v in decided.rows if (t, k) == (tables.META, tables.HEAD_KEY))
    return decode(Head, row, limit_bytes=1_000).root


class Seen:
    def __init__(self, nodes, reached):
        self.nodes, self.reached = nodes, reached

    def get(self, node_id):
        self.reached.add(node_id)
        return self.nodes.get(node_id)


def test_changes_are_kept_for_a_while():
    chain = Chain(settings=EngineSettings(keep_changes=2))
    for _ in range(4):
        chain.block(chain.make(account(0), PAY))
    assert [chain.engine.get_changes(h) is not None for h in range(6)] == [
        False,
        False,
        False,
        True,
        True,
        False,
    ]
    assert chain.engine.get_changes(3) == chain.decided[2].changes


def replay(chain, blocks):
    engine = EmbeddedEngine.open(store=MemoryStore(), genesis=chain.genesis)
    for signed, block in blocks:
        decided = engine.replay(signed, block)
        engine._store.commit(decided.rows)
        engine.finish(decided)
    return engine


def test_replay_from_genesis_gives_the_same_store():
    chain = Chain()
    chain.register()
    chain.do(account(0), chain.offer())
    chain.block(chain.make(account(1), PAY), chain.make(account(2), Stake(amount=10 * RICH)))
    chain.block()
    blocks = [
        (chain.engine.get_header(h), read_block(chain, h))
        for h in range(1, chain.engine.height + 1)
    ]
    engine = replay(chain, blocks)
    assert engine.last_header == chain.engine.last_header
    assert engine._store._tables == chain.store._tables


def test_replay_refuses_what_was_not_decided():
    chain = Chain()
    chain.block(chain.make(account(0), PAY))
    signed, block = chain.engine.get_header(1), read_block(chain, 1)
    change = msgspec.structs.replace
    header = signed.header
    bent = SignedHeader(header=change(header, state_root=sha256(b"x")), seal=signed.seal)
    for pair, code in [
        ((bent, block), "consensus.other-header"),
        ((signed, change(block, transactions=())), "consensus.other-header"),
        ((signed, change(block, height=2)), "consensus.not-next"),
        ((signed, change(block, time_ms=1_000)), "consensus.time-back"),
    ]:
        with pytest.raises(Refusal) as caught:
            replay(chain, [pair])
        assert caught.value.code == code
    replay(chain, [(signed, block)])


def test_opening_checks_chain_format_and_key():
    chain = Chain()
    chain.block()
    with pytest.raises(Fault) as caught:
        Chain(make_test_genesis(chain_id=8), store=chain.store)
    assert caught.value.code == "store.other-chain"
    other = OperatingSigner(sha256(b"other"))
    with pytest.raises(Misuse) as misuse:
        EmbeddedEngine.open(store=MemoryStore(), genesis=chain.genesis, signer=other)
    assert misuse.value.code == "consensus.other-key"
    keyless = EmbeddedEngine.open(store=MemoryStore(), genesis=chain.genesis)
    with pytest.raises(Misuse) as misuse:
        keyless.decide(1)
    assert misuse.value.code == "consensus.no-signer"
    for row, code in [
        ((tables.HEADER, tables.height_key(1), None), "store.corrupt"),
        ((tables.META, tables.STALE_KEY, None), "store.corrupt"),
        ((tables.META, tables.FORMAT_KEY, b"probatum-store/1"), "store.other-format"),
    ]:
        broken = MemoryStore({t: dict(rows) for t, rows in chain.store._tables.items()})
        broken.commit([row])
        with pytest.raises(Fault) as caught:
            Chain(store=broken)
        assert caught.value.code == code


def test_blocks_and_headers_are_read_back_as_they_were_decided():
    chain = Chain()
    chain.block(chain.make(account(0), PAY))
    assert chain.engine.get_header(1) == chain.decided[0].header
    assert chain.engine.get_block(1) == encode(chain.decided[0].block)
