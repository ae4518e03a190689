"""What a block costs as the state grows, what one transfer costs, and what settles many receipts.

Growth: the same blocks of transfers to accounts anywhere, over ledgers of few and of many
accounts, in turns, so that whatever else the machine does falls on both; without the check of
signatures, which does not grow, and with it. The transfer: processor time of an application that
gets each once for its pool and once in a block, as under any engine; the peer is the bare check of
the same signatures.
"""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from statistics import fmean, median

from benchmarks.measuring import SCRATCH, Row, make_row
from probatum.consensus import tables
from probatum.consensus.chain.blocks import Head, make_state_rows, split_ids
from probatum.consensus.chain.cache import CachedTable
from probatum.consensus.chain.opening import begin, get_meta
from probatum.consensus.chain.sqlite_store import SqliteStore
from probatum.consensus.embedded.engine import EmbeddedEngine
from probatum.ledger.genesis import Genesis, get_domain, make_genesis
from probatum.ledger.statemap import MerkleMap
from probatum.protocol import limits
from probatum.protocol.blocks import Change
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.encoding import decode, encode
from probatum.protocol.hashing import sha256
from probatum.protocol.merkle import MerkleLog
from probatum.protocol.notes import Checkpoint, log_origin, sign_checkpoint
from probatum.protocol.primitives import Address, make_address, make_operating_signature
from probatum.protocol.records import Account, get_account_key
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.transactions.kinds import (
    Body,
    OpenLog,
    RegisterNode,
    SettleCheckpoint,
    Stake,
    Transfer,
)
from probatum.protocol.transactions.signed import (
    check_sender,
    decode_transaction,
    sign_authority,
    sign_transaction,
)

FEW, MANY = 10_000, 1_000_000
SENDERS = 200
PER_BLOCK = 1_000
TOKENS = 10**12
RECEIPTS = 10_000
GOAL_GROWTH = 2.0
GOAL_TRANSFER_MS = 0.15
_CHUNK = 250_000

ENGINE = OperatingSigner(sha256(b"benchmark engine"))
SIGNERS = [AccountSigner(sha256(b"benchmark %d" % number)) for number in range(SENDERS)]


def get_filler(number: int) -> Address:
    """Get an account that only receives."""
    return make_address(sha256(b"filler %d" % number)[:20])


def make_start() -> Genesis:
    return make_genesis(
        chain_id=1337,
        time_ms=0,
        key=ENGINE.key,
        balances={signer.address: TOKENS for signer in SIGNERS},
    )


class Ledger:
    """An embedded chain on disk over a state of many accounts."""

    def __init__(self, path: Path, accounts: int) -> None:
        self.genesis = make_start()
        # Nothing of the filling waits in memory when the blocks come.
        self.store = SqliteStore.open(path, held_bytes=1)
        begin(self.store, self.genesis)
        for start in range(0, accounts - SENDERS, _CHUNK):
            self._fill(range(start, min(start + _CHUNK, accounts - SENDERS)))
        self._fill(range(0))
        self.store.close()
        self.store = SqliteStore.open(path)
        self.accounts = accounts - SENDERS
        self.engine = EmbeddedEngine.open(store=self.store, genesis=self.genesis, signer=ENGINE)
        self.nonces = dict.fromkeys(range(SENDERS), 0)
        self.now_ms = 1_000

    def _fill(self, numbers: range) -> None:
        """Write accounts as if they had been there from the start; one chunk, one commit."""
        value = encode(Account(balance=1, nonce=0))
        changes = tuple(
            Change(key=get_account_key(get_filler(number)), value=value) for number in numbers
        )
        head = decode(Head, get_meta(self.store, tables.HEAD_KEY), limit_bytes=limits.KIB)
        state = MerkleMap(CachedTable(self.store, tables.NODE, _CHUNK), head.root)
        update = state.update({change.key: change.value for change in changes})
        stale = split_ids(get_meta(self.store, tables.STALE_KEY))
        self.store.commit(make_state_rows(0, changes, update, stale))

    def sign(self, place: int, body: Body) -> bytes:
        nonce = self.nonces[place]
        self.nonces[place] += 1
        signed = sign_transaction(
            self.engine.domain, SIGNERS[place], nonce=nonce, fee_units=1_000, body=body
        )
        return encode(signed)

    def make_transfers(self, chance: random.Random, count: int = PER_BLOCK) -> list[bytes]:
        return [
            self.sign(
                number % SENDERS,
                Transfer(to=get_filler(chance.randrange(self.accounts)), amount=5),
            )
            for number in range(count)
        ]

    def block(self, transactions: list[bytes]) -> tuple[float, float, float]:
        """Submit, then decide and commit.

        Returns:
            Seconds and processor seconds of the latter; processor seconds of all.
        """
        whole = time.process_time()
        for data in transactions:
            self.engine.submit(data)
        begun, spent = time.perf_counter(), time.process_time()
        self.now_ms += 1_000
        decided = self.engine.decide(self.now_ms)
        self.store.commit(decided.rows)
        self.engine.finish(decided)
        now = time.process_time()
        took = time.perf_counter() - begun, now - spent, now - whole
        assert [result.code for result in decided.results] == ["ok"] * len(transactions)
        return took


def measure_growth(folder: Path, many: int, warm: int, rounds: int) -> tuple[Row, ...]:
    """Blocks over few accounts and over many, in turns; the first ones only fill caches.

    Means, over about as many blocks as the store writes into its tables together.
    """
    ledgers = [Ledger(folder / f"{count}.db", count) for count in (FEW, many)]
    chance = random.Random(7)
    took: list[list[tuple[float, float, float]]] = [[], []]
    for number in range(warm + rounds):
        for place, ledger in enumerate(ledgers):
            found = ledger.block(ledger.make_transfers(chance))
            if number >= warm:
                took[place].append(found)
    for ledger in ledgers:
        ledger.store.close()
    names = (
        f"block of {PER_BLOCK:,} transfers over {many:,} accounts",
        f"the same, processor time, over {many:,} accounts",
        f"the same with its signatures, processor time, over {many:,} accounts",
    )
    rows = []
    for place, name in enumerate(names):
        few, much = (fmean(block[place] for block in each) * 1_000 for each in took)
        peer = f"over {FEW:,}: {few:.1f} ms"
        rows.append(make_row(name, much, "ms", peer=peer, against=few, goal=GOAL_GROWTH * few))
    return tuple(rows)


def measure_transfers(folder: Path, rounds: int) -> Row:
    """Processor time of a transfer, from its bytes to its durable outcome."""
    ledger = Ledger(folder / "transfers.db", FEW)
    chance = random.Random(8)
    shares, bare = [], []
    for _ in range(rounds):
        transactions = ledger.make_transfers(chance)
        spent = time.process_time()
        for data in transactions:
            check_sender(ledger.engine.domain, decode_transaction(data))
        bare.append((time.process_time() - spent) / len(transactions) * 1_000)
        spent = time.process_time()
        ledger.block(transactions)
        shares.append((time.process_time() - spent) / len(transactions) * 1_000)
    ledger.store.close()
    return make_row(
        "one transfer, from its bytes to durable, processor time",
        median(shares),
        "ms",
        peer=f"its signature alone {median(bare):.3f} ms",
        against=median(bare),
        goal=GOAL_TRANSFER_MS,
    )


def measure_settlement(folder: Path) -> Row:
    """One transaction that settles many receipts."""
    ledger = Ledger(folder / "receipts.db", FEW)
    domain, operator, key = get_domain(ledger.genesis), SIGNERS[0], ENGINE
    nobody = make_operating_signature(bytes(64))
    registration = RegisterNode(
        operating_key=key.key, endpoint="http://127.0.0.1:1", roles=("inference",), authority=nobody
    )
    opening = OpenLog(
        operator=operator.address, session=0, opener=sha256(b"life"), authority=nobody
    )
    ledger.block([ledger.sign(0, Stake(amount=10**10))])
    for body in (registration, opening):
        authority = sign_authority(domain, key, operator.address, body)
        values = {name: getattr(body, name) for name in body.__struct_fields__}
        ledger.block([ledger.sign(0, type(body)(**(values | {"authority": authority})))])
    log = MerkleLog()
    for number in range(RECEIPTS):
        log.append(sha256(b"receipt %d" % number))
    checkpoint = Checkpoint(
        origin=log_origin(domain, operator.address, 0), size=RECEIPTS, root=log.root()
    )
    body = SettleCheckpoint(
        operator=operator.address,
        session=0,
        checkpoint=sign_checkpoint(checkpoint, key),
        consistency=log.consistency_proof(0, RECEIPTS),
    )
    data = ledger.sign(0, body)
    wall, *_ = ledger.block([data])
    ledger.store.close()
    return make_row(
        f"one transaction of {len(data)} bytes settles {RECEIPTS:,} receipts", wall * 1_000, "ms"
    )


def run(*, quick: bool = False) -> list[Row]:
    """Measure; one row a figure."""
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as name:
        folder = Path(name)
        return [
            *measure_growth(folder, *((MANY // 10, 2, 5) if quick else (MANY, 40, 30))),
            measure_transfers(folder, 3 if quick else 9),
            measure_settlement(folder),
        ]


if __name__ == "__main__":
    for row in run():
        print(row)
