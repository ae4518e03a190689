"""A grammar of ABCI's calls, with a crash and a replay at every point: one chain, whatever happens.

The model is the list of decided blocks. Whatever else the engine asks (proposals of its own and
others', rounds that end in nothing, checks, restarts of either side, a repair by one height), the
application's hash after height H is that of an application that was given those blocks alone, and
that of the embedded engine; and what it tells others of is proven (`ABCI-1` to `SNAP-1`).
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from probatum.consensus.chain.memory_store import MemoryStore
from probatum.consensus.chain.opening import begin
from probatum.consensus.cometbft.cutting import cut_parts
from probatum.consensus.cometbft.parts import Misbehavior, MisbehaviorType, Timestamp, Validator
from probatum.consensus.cometbft.snapshots import (
    Restoring,
    SnapshotHead,
    open_snapshot,
)
from probatum.consensus.embedded.engine import EmbeddedEngine
from probatum.consensus.tables import HEADER, TABLES
from probatum.ledger.consensus_params import decode_consensus_params
from probatum.ledger.invariants import check_records
from probatum.ledger.queries import decode_record
from probatum.protocol.blocks import Block
from probatum.protocol.encoding import decode, decode_document, encode
from probatum.protocol.headers import SignedHeader, compute_header_hash
from probatum.protocol.mapproof import StateProof, check_state_proof
from probatum.protocol.primitives import UNITS_PER_TOKEN
from probatum.protocol.records import PARAMS_KEY
from probatum.protocol.transactions.kinds import FundEscrow, Stake, Transfer, Unstake, Withdraw
from probatum.protocol.validators import CONSENSUS_PARAMS_KEY
from tests.chain import FEE, account
from tests.comet import NO_SEAL, Comet
from tests.validators import POWER, consensus_address, make_test_validator_genesis

ACCOUNTS = 3
GENESIS = make_test_validator_genesis(validators=3, accounts=ACCOUNTS)
number = st.integers(0, ACCOUNTS - 1)
amount = st.sampled_from([0, 1, FEE, UNITS_PER_TOKEN, 999 * UNITS_PER_TOKEN, 2**63 - 1])
bodies = st.one_of(
    st.builds(lambda to, n: Transfer(to=account(to).address, amount=n), st.integers(0, 4), amount),
    st.builds(lambda n: Stake(amount=n), amount),
    st.builds(lambda n: Unstake(amount=n), amount),
    st.just(Withdraw()),
    st.builds(lambda to, n: FundEscrow(payee=account(to).address, amount=n), number, amount),
)
transactions = st.lists(st.tuples(number, bodies, st.integers(0, 2)), max_size=5)
junk = st.lists(st.binary(max_size=40), max_size=2)
missing = st.sets(st.integers(0, 2), max_size=2)


def dump(store):
    return {table: dict(store.scan(table, b"", b"", 1_000_000)) for table in TABLES}


def sign(comet, plan):
    """Sign a plan: nonces from the committed one on, now and then with a gap."""
    return [
        comet.make(account(who), body, nonce=comet.nonce(account(who)) + ahead)
        for who, body, ahead in plan
    ]


class Engine(RuleBasedStateMachine):
    """CometBFT as an application may meet it."""

    def __init__(self):
        super().__init__()
        self.store = MemoryStore()
        self.comet = Comet(GENESIS, store=self.store)
        self.hashes = [self.comet.domain.genesis_hash]
        self.states = [self.comet.records()]
        self.finalized = None

    # Proposals, which bind nobody

    @rule(plan=transactions, junk=junk, again=st.booleans())
    def check(self, plan, junk, again):
        for data in [*sign(self.comet, plan), *junk]:
            self.comet.check(data, again=again)

    @rule(
        plan=transactions,
        missing=missing,
        room=st.integers(0, 3_000),
        proposer=st.integers(0, 2),
    )
    def propose(self, plan, missing, room, proposer):
        """What one application proposes, every other accepts, with a cold cache and a warm one."""
        block = self.comet.propose(
            txs=sign(self.comet, plan), missing=missing, room=room, proposer=proposer
        )
        assert sum(map(len, block.txs)) <= room
        assert self.comet.judge(block) == 1
        other = Comet(GENESIS, store=MemoryStore(self.copy()))
        other.time, other.decided = self.comet.time, self.comet.decided
        assert other.judge(block) == 1

    @rule(plan=transactions, junk=junk, proposer=st.integers(0, 2))
    def judge(self, plan, junk, proposer):
        block = self.comet.make_block([*sign(self.comet, plan), *junk], proposer=proposer)
        other = Comet(GENESIS, store=MemoryStore(self.copy()))
        other.time, other.decided = self.comet.time, self.comet.decided
        assert self.comet.judge(block) == other.judge(block)

    def copy(self):
        return {table: dict(rows) for table, rows in dump(self.store).items()}

    # Decisions

    @rule(
        plan=transactions,
        junk=junk,
        missing=missing,
        proposer=st.integers(0, 2),
        seconds=st.integers(-1, 3),
        guilty=st.sets(st.integers(0, 2), max_size=1),
    )
    def finalize(self, plan, junk, missing, proposer, seconds, guilty):
        comet = self.comet
        comet.time = Timestamp(seconds=comet.time.seconds + seconds, nanos=seconds + 1)
        found = [
            Misbehavior(
                type=MisbehaviorType.DUPLICATE_VOTE,
                validator=Validator(address=consensus_address(n), power=POWER),
                height=comet.tip.height,
                time=comet.time,
                total_voting_power=3 * POWER,
            )
            for n in sorted(guilty)
        ]
        block = comet.make_block(
            [*sign(comet, plan), *junk],
            votes=comet.make_votes(missing),
            proposer=proposer,
            misbehavior=found,
        )
        said = comet.finalize(block)
        assert len(said.tx_results) == len(block.txs)
        again = comet.finalize(block)
        assert again == said
        self.finalized = (block, said)

    @rule(missing=missing)
    def finalize_proposal(self, missing):
        block = self.comet.propose(missing=missing)
        self.comet.judge(block)
        said = self.comet.finalize(block)
        assert all(found.code < 2 for found in said.tx_results)
        self.finalized = (block, said)

    @rule(
        plans=st.lists(transactions, min_size=1, max_size=4), missing=missing, sealed=st.booleans()
    )
    def decide(self, plans, missing, sealed):
        """The usual way, so that a run comes to have a past; each block is taken back once."""
        self.finalized = None
        for plan in plans:
            for data in sign(self.comet, plan):
                self.comet.check(data)
            block = self.comet.propose(missing=missing)
            said = self.comet.finalize(block)
            before = dump(self.store)
            self.comet.commit()
            self.store.commit(self.comet.tip.make_rollback_rows())
            assert dump(self.store) == before
            self.comet.restart()
            assert self.comet.finalize(block) == said
            self.comet.commit()
            self.took(block, said)
            if sealed:
                self.comet.seal()

    @precondition(lambda self: self.finalized)
    @rule()
    def commit(self):
        block, said = self.finalized
        self.comet.commit()
        self.took(block, said)

    @precondition(lambda self: self.finalized)
    @rule()
    def commit_and_die_before_the_reply(self):
        block, said = self.finalized
        self.comet.commit()
        self.took(block, said)
        self.comet.restart()

    def took(self, block, said):
        self.finalized = None
        self.hashes.append(said.app_hash)
        self.states.append(self.comet.records())
        self.comet.decided.append(block)

    # Deaths

    @rule()
    def application_dies(self):
        """Also between FinalizeBlock and Commit: the engine will ask again."""
        self.comet.restart()
        if self.finalized:
            block, said = self.finalized
            assert self.comet.finalize(block) == said
            self.comet.adapter.reconnected()
            self.finalized = None

    @rule()
    def engine_dies(self):
        self.comet.adapter.reconnected()
        self.finalized = None

    # Seals and repairs

    @rule()
    def seal(self):
        self.comet.seal()

    @precondition(lambda self: not self.finalized)
    @rule()
    def roll_back(self):
        """Apply, take back, apply again: the same bytes, unless a seal forbids it."""
        tip = self.comet.tip
        if tip.height == 0 or tip.height <= tip.sealed_height:
            return
        after = dump(self.store)
        self.store.commit(tip.make_rollback_rows())
        tip.load()
        self.comet.restart()
        height = tip.height
        assert self.comet.info() == (height, self.hashes[height])
        block = self.comet.decided[height]
        assert self.comet.finalize(block).app_hash == self.hashes[height + 1]
        self.comet.commit()
        assert dump(self.store) == after

    @precondition(lambda self: not self.finalized)
    @rule()
    def start_from_an_empty_folder(self):
        """The engine replays every block: FinalizeBlock and Commit alone."""
        kept = self.comet.sealed.height
        fresh = Comet(GENESIS, store=MemoryStore())
        for block, wanted in zip(self.comet.decided, self.hashes[1:], strict=True):
            assert fresh.decide(block).app_hash == wanted
        while fresh.sealed.height < kept:
            assert fresh.seal()
        assert dump(fresh.store) == dump(self.store)

    @precondition(lambda self: self.comet.tip.height and not self.finalized)
    @rule(chunk_bytes=st.sampled_from([1, 200, 5_000]))
    def restore_from_a_snapshot(self, chunk_bytes):
        """Another node takes the state as it stands, and goes on alike."""
        cut = list(cut_parts(self.comet.records().items, chunk_bytes=chunk_bytes))
        kept = [chunk for part, chunk in cut if not part.is_empty]
        head = SnapshotHead(header=self.comet.tip.header, parts=tuple(part for part, _ in cut))
        store = MemoryStore()
        begin(store, GENESIS)
        restoring = Restoring(
            store, open_snapshot(self.comet.domain, encode(head), self.hashes[-1])
        )
        for chunk in kept:
            restoring.take(chunk)
        restoring.finish()
        other = Comet(GENESIS, store=store)
        other.time, other.decided = self.comet.time, self.comet.decided
        assert other.info() == self.comet.info()
        assert other.records() == self.comet.records()
        block = self.comet.propose()
        assert other.judge(block) == 1
        assert other.finalize(block) == self.comet.finalize(block)
        self.comet.adapter.reconnected()

    # What holds at all times

    @invariant()
    def info_is_what_was_committed(self):
        assert self.comet.info() == (len(self.comet.decided), self.hashes[-1])

    @invariant()
    def what_is_told_is_proven(self):
        sealed = self.comet.sealed
        if not sealed.height:
            return
        header = sealed.last_header.header
        assert compute_header_hash(header) == self.hashes[sealed.height]
        keys = [item.key for item in sealed.list_items(b"", b"", 4)[0]]
        for item in sealed.get_items((*keys, b"account/none"), prove=True):
            proof = decode_document(StateProof, item.proof, limit_bytes=1 << 20)
            assert check_state_proof(header.state_root, item.key, proof) == item.value

    @invariant()
    def what_is_listed_is_the_sealed_state(self):
        sealed = self.comet.sealed
        if not sealed.height:
            return
        found, after, more = {}, b"", True
        while more:
            items, more = sealed.list_items(b"", after, 5)
            found |= {item.key: item.value for item in items}
            after = items[-1].key
        assert found == self.states[sealed.height]

    def teardown(self):
        self.check_units()
        self.check_embedded()

    def check_units(self):
        records = self.comet.records()
        shown = [
            decode_consensus_params(value)
            if key == CONSENSUS_PARAMS_KEY
            else decode_record(key, value)
            for key, value in records.items()
            if key != PARAMS_KEY
        ]
        check_records(shown)

    def check_embedded(self):
        """The embedded engine, given the same blocks, comes to the same hash at every height."""
        store = MemoryStore()
        engine = EmbeddedEngine.open(store=store, genesis=GENESIS)
        while self.comet.seal():
            pass
        for height in range(1, self.comet.tip.height + 1):
            key = height.to_bytes(8, "big")
            block = decode(Block, self.store.get("block", key), limit_bytes=1 << 24)
            stored = self.store.get(HEADER, key)
            header = (
                self.comet.tip.header
                if stored is None
                else decode(SignedHeader, stored, limit_bytes=1 << 20).header
            )
            decided = engine.replay(SignedHeader(header=header, seal=NO_SEAL), block)
            store.commit(decided.rows)
            engine.finish(decided)
            assert compute_header_hash(decided.header.header) == self.hashes[height]
        assert dict(store.scan("record", b"", b"", 10_000)) == self.comet.records()


def test_abci_in_any_order_with_crashes_anywhere_is_one_chain():
    run_state_machine_as_test(Engine, settings=settings(stateful_step_count=32, deadline=None))
