"""The application over a store on disk whose rows wait, and over one in memory: always the same."""

import random

import pytest

from probatum.consensus.chain.memory_store import MemoryStore
from probatum.consensus.chain.sqlite_store import SqliteStore
from probatum.consensus.cometbft.adapter_settings import AdapterSettings
from probatum.consensus.tables import TABLES
from probatum.ledger.statemap import EMPTY_ROOT, MerkleMap
from probatum.protocol.transactions.kinds import FundEscrow, Transfer
from tests.chain import FEE, account
from tests.comet import Comet

HELD_BYTES = (1, 2_000, 30_000, 200_000)


class Twins:
    """Two applications that are told the same, and what may happen to them."""

    def __init__(self, path, chance):
        self.path, self.chance = path, chance
        settings = AdapterSettings(keep_blocks=chance.choice((0, 5)))
        self.both = [
            Comet(store=store, settings=settings) for store in (self.open(), MemoryStore())
        ]

    def open(self):
        return SqliteStore.open(self.path, held_bytes=self.chance.choice(HELD_BYTES))

    def block(self):
        plan = [
            (
                self.chance.randrange(4),
                self.chance.choice((FundEscrow, Transfer, Transfer, Transfer)),
                account(self.chance.randrange(40, 140)).address,
            )
            for _ in range(self.chance.randrange(5))
        ]
        for comet in self.both:
            nonces, transactions = {}, []
            for who, kind, to in plan:
                nonce = nonces.get(who, comet.nonce(account(who)))
                nonces[who] = nonce + 1
                body = kind(amount=FEE, **{"to" if kind is Transfer else "payee": to})
                transactions.append(comet.make(account(who), body, nonce=nonce))
            comet.block(*transactions)

    def seal(self):
        for comet in self.both:
            comet.seal()

    def take_back(self):
        for comet in self.both:
            if comet.tip.height > comet.tip.sealed_height and comet.tip.unsealed:
                comet.store.commit(comet.tip.make_rollback_rows())
                comet.restart()
                comet.decided.pop()

    def restart(self):
        disk = self.both[0]
        disk.store.close()
        disk.store = self.open()
        for comet in self.both:
            comet.restart()

    def check(self):
        disk, memory = self.both
        assert disk.info() == memory.info()
        for table in TABLES:
            rows = [comet.store.scan(table, b"", b"", 1_000_000) for comet in self.both]
            assert rows[0] == rows[1], table
        records = disk.records()
        assert MerkleMap({}, EMPTY_ROOT).update(records).root.digest == disk.tip.root.digest
        kept = MerkleMap(disk.tip.nodes, disk.tip.root)
        assert len(list(kept.iterate())) == len(records)


@pytest.mark.parametrize("seed", range(5))
def test_whatever_happens_both_stores_hold_the_same(tmp_path, seed):
    chance = random.Random(seed)
    twins = Twins(tmp_path / "ledger.sqlite", chance)
    steps = [twins.block] * 11 + [twins.seal] * 4 + [twins.take_back] * 3 + [twins.restart] * 2
    for _ in range(60):
        chance.choice(steps)()
        twins.check()
    twins.both[0].store.close()
