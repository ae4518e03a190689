"""Whatever is sent, in whatever order: units are conserved, and every replay agrees."""

from hypothesis import given, settings
from hypothesis import strategies as st

from probatum.consensus.chain.memory_store import MemoryStore
from probatum.consensus.chain.sqlite_store import SqliteStore
from probatum.consensus.embedded.engine import EmbeddedEngine
from probatum.consensus.tables import TABLES
from probatum.errors import Refusal
from probatum.ledger.apply import apply_block
from probatum.ledger.genesis import decode_genesis, encode_genesis
from probatum.ledger.invariants import check_records
from probatum.ledger.params import Params
from probatum.ledger.queries import decode_record
from probatum.protocol.blocks import Block
from probatum.protocol.encoding import decode, encode_document
from probatum.protocol.hashing import sha256
from probatum.protocol.mapproof import check_state_proof
from probatum.protocol.merkle import MerkleLog, leaf_hash
from probatum.protocol.notes import Checkpoint, log_origin, sign_checkpoint
from probatum.protocol.p256 import PublisherSigner
from probatum.protocol.primitives import UNITS_PER_TOKEN
from probatum.protocol.records import PARAMS_KEY
from probatum.protocol.transactions.kinds import (
    PublishModel,
    RegisterPublisherKey,
    SettleCheckpoint,
    Stake,
    Transfer,
    Unstake,
    Withdraw,
)
from probatum.protocol.transactions.possession import sign_possession
from tests.chain import ENGINE, FEE, Chain, account, key, make_test_genesis

ACCOUNTS = 3
GENESIS = make_test_genesis(
    ACCOUNTS, params=Params(unbonding_blocks=2, min_stake_inference_units=UNITS_PER_TOKEN)
)
number = st.integers(0, ACCOUNTS - 1)
amount = st.one_of(
    st.integers(0, 5), st.sampled_from([FEE, UNITS_PER_TOKEN, 999 * UNITS_PER_TOKEN, 2**63 - 1])
)
small = st.integers(0, 2)


def settle(chain, who, session, size, old):
    log = MerkleLog()
    for index in range(size):
        log.append(leaf_hash(b"%d" % index))
    origin = log_origin(chain.domain, account(who).address, session)
    checkpoint = Checkpoint(origin=origin, size=size, root=log.root())
    return SettleCheckpoint(
        operator=account(who).address,
        session=session,
        checkpoint=sign_checkpoint(checkpoint, key(who)),
        consistency=log.consistency_proof(min(old, size), size),
    )


def register_key(chain, who, which):
    signer = PublisherSigner(sha256(b"publisher %d" % which))
    possession = sign_possession(chain.domain, account(who).address, signer)
    return RegisterPublisherKey(key=signer.key, possession=possession)


# Each draws a function from chain to body.
bodies = st.one_of(
    st.builds(
        lambda to, amount: lambda _: Transfer(to=account(to).address, amount=amount),
        st.integers(0, ACCOUNTS),
        amount,
    ),
    st.builds(lambda amount: lambda _: Stake(amount=amount), amount),
    st.builds(lambda amount: lambda _: Unstake(amount=amount), amount),
    st.just(lambda _: Withdraw()),
    st.builds(lambda n, k: lambda c: c.registration(n, operating=key(k)), number, number),
    st.builds(
        lambda name, version: (
            lambda c: PublishModel(
                name=name, version=version, package=c.domain.genesis_hash, size_bytes=1
            )
        ),
        st.sampled_from("ab"),
        st.sampled_from("12"),
    ),
    st.builds(lambda n, s: lambda c: c.offer(n, sequence=s), number, small),
    st.builds(lambda n, s: lambda c: c.withdrawal(n, sequence=s), number, small),
    st.builds(lambda n, s: lambda c: c.opening(n, session=s), number, small),
    st.builds(lambda n, s: lambda c: c.heartbeat(n, sequence=s), number, small),
    st.builds(lambda n, k: lambda c: register_key(c, n, k), number, small),
    st.builds(lambda n, s, z, o: lambda c: settle(c, n, s, z, o), number, small, small, small),
)
blocks = st.lists(st.lists(st.tuples(number, bodies), max_size=6), min_size=1, max_size=6)


def sign(chain, plan):
    """Sign a plan's transactions with following nonces; what the pool refuses is left out."""
    nonces = {n: chain.nonce(account(n)) for n in range(ACCOUNTS)}
    refused = set()
    for sender, make in plan:
        data = chain.make(account(sender), make(chain), nonce=nonces[sender])
        try:
            chain.engine.submit(data)
        except Refusal as refusal:
            refused.add(refusal.code)
        else:
            nonces[sender] += 1
    assert refused <= {"ledger.fee-not-covered"}


def run(plan, store=None):
    """Run a plan on a prepared chain: every account is staked, the first one's node is open."""
    chain = Chain(GENESIS, store)
    for n in range(ACCOUNTS):
        chain.register(n)
    chain.do(account(0), chain.opening(0))
    for block in plan:
        sign(chain, block)
        chain.block()
    return chain


def check_state(chain):
    records = chain.records()
    check_records(decode_record(k, v) for k, v in records.items() if k != PARAMS_KEY)
    root = chain.engine.last_header.header.state_root
    for item in chain.engine.get_items((*list(records)[:4], b"account/none"), prove=True):
        from probatum.protocol.encoding import decode_document
        from probatum.protocol.mapproof import StateProof

        proof = decode_document(StateProof, item.proof, limit_bytes=1 << 20)
        assert check_state_proof(root, item.key, proof) == records.get(item.key)


@given(plan=blocks)
def test_units_are_conserved_and_every_run_agrees(plan):
    first, second = run(plan), run(plan)
    check_state(first)
    assert first.engine.last_header == second.engine.last_header
    assert first.store._tables == second.store._tables
    replayed = MemoryStore()
    engine = EmbeddedEngine.open(store=replayed, genesis=GENESIS)
    for height in range(1, first.engine.height + 1):
        block = decode(Block, first.engine.get_block(height), limit_bytes=1 << 24)
        decided = engine.replay(first.engine.get_header(height), block)
        replayed.commit(decided.rows)
        engine.finish(decided)
    assert replayed._tables == first.store._tables


@settings(max_examples=15)
@given(plan=blocks, cuts=st.sets(st.integers(0, 5), max_size=3))
def test_a_store_on_disk_reopened_anywhere_goes_on_alike(tmp_path_factory, plan, cuts):
    path = tmp_path_factory.mktemp("store") / "ledger.db"
    store = SqliteStore.open(path)
    chain, twin = run([], store), run([])
    for place, block in enumerate(plan):
        if place in cuts:
            store.close()
            store = SqliteStore.open(path)
            now_ms, chain = chain.now_ms, Chain(GENESIS, store)
            chain.now_ms = now_ms
            twin = Chain(GENESIS, twin.store)
            twin.now_ms = now_ms
        for each in (chain, twin):
            sign(each, block)
            each.block()
    assert chain.engine.last_header == twin.engine.last_header
    for table in TABLES:
        rows = dict(store.scan(table, b"", b"", 100_000))
        assert rows == twin.store._tables.get(table, {})
    store.close()


@given(
    junk=st.lists(st.binary(max_size=200), max_size=5),
    flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), max_size=5),
)
def test_a_block_of_anything_applies_and_changes_only_what_is_signed(junk, flips):
    chain = Chain(GENESIS)
    good = chain.make(account(0), Transfer(to=account(1).address, amount=5))
    bent = []
    for place, mask in flips:
        data = bytearray(good)
        data[place % len(data)] ^= mask
        bent.append(bytes(data))
    block = Block(height=1, time_ms=5_000, transactions=(*junk, *bent, good))
    records = chain.records()
    applied = apply_block(records, block, chain.domain)
    assert [r.code for r in applied.results].count("ok") == 1
    assert applied.charged[-1]
    alone = apply_block(records, Block(height=1, time_ms=5_000, transactions=(good,)), chain.domain)
    assert applied.changes == alone.changes


@given(data=st.binary(max_size=400))
def test_genesis_decoding_refuses_or_is_canonical(data):
    document = encode_genesis(GENESIS)
    for candidate in (data, document[: len(data)] + data, document.replace(b"7", data[:1] or b"8")):
        try:
            genesis = decode_genesis(candidate)
        except Refusal:
            continue
        assert encode_document(genesis) == candidate.strip()


def test_the_plan_reaches_more_than_refusals():
    """The strategies are worth something only if handlers succeed under them."""
    chain = run(
        [
            [(0, lambda c: c.heartbeat(0, sequence=0)), (1, lambda c: c.offer(1, sequence=0))],
            [(2, lambda c: settle(c, 0, 0, 2, 0))],
        ]
    )
    codes = [result.code for decided in chain.decided for result in decided.results]
    assert codes == ["ok"] * len(codes)
    assert chain.engine.key == ENGINE.key
