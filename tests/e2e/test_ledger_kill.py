"""`kill -9` of a ledger that writes: what it acknowledged is there, and the chain is whole."""

import random
import signal
import subprocess
import sys
import time

import pytest

from probatum.consensus.chain.memory_store import MemoryStore
from probatum.consensus.chain.sqlite_store import SqliteStore
from probatum.consensus.embedded.engine import EmbeddedEngine
from probatum.protocol.blocks import Block
from probatum.protocol.encoding import decode
from probatum.protocol.hashing import sha256
from probatum.protocol.records import ACCOUNT
from probatum.protocol.transactions.kinds import Transfer
from tests.chain import Chain, account

WRITER = """
import sys
from pathlib import Path
from tests.chain import Chain, account
from probatum.consensus.chain.sqlite_store import SqliteStore
from probatum.protocol.transactions.kinds import Transfer

chain = Chain(store=SqliteStore.open(Path(sys.argv[1])))
chain.now_ms = 1_000_000 * int(sys.argv[2])
while True:
    data = [
        chain.make(account(n % 4), Transfer(to=account(n % 3).address, amount=1),
                   nonce=chain.nonce(account(n % 4)) + n // 4)
        for n in range(40)
    ]
    chain.block(*data)
    for outcome in chain.decided.pop().outcomes:
        print(outcome.height, outcome.transaction_hash.hex(), outcome.code, flush=False)
    print("end", chain.engine.height, flush=True)
"""


def kill_once(repository, path, life, chance):
    """Run the writer, kill it, return the outcomes that it had acknowledged."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(life)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=repository,
    )
    lines = [process.stdout.readline() for _ in range(41)]
    assert lines[-1].startswith("end"), lines
    time.sleep(chance.random() * 0.15)
    process.send_signal(signal.SIGKILL)
    lines += process.communicate()[0].splitlines(keepends=True)
    whole = [line.split() for line in lines if line.endswith("\n") and line[0] != "e"]
    return [(int(height), bytes.fromhex(found), code) for height, found, code in whole]


@pytest.mark.e2e
def test_nothing_acknowledged_is_lost(repository, tmp_path, seed_round):
    path, chance = tmp_path / "ledger.db", random.Random(f"kill {seed_round}")
    acknowledged = []
    for life in range(1, 6):
        acknowledged += kill_once(repository, path, life, chance)
    assert len(acknowledged) >= 5 * 40
    store = SqliteStore.open(path)
    chain = Chain(store=store)
    for height, found, code in acknowledged:
        outcome = chain.engine.get_outcome(found)
        assert (outcome.height, outcome.code) == (height, code)
    check_replay(chain)
    assert chain.do(account(0), Transfer(to=account(1).address, amount=1)) == "ok"
    store.close()


def check_replay(chain):
    """Replay from genesis, signatures checked anew: the same headers and the same records."""
    replayed = MemoryStore()
    engine = EmbeddedEngine.open(store=replayed, genesis=chain.genesis)
    for height in range(1, chain.engine.height + 1):
        block = decode(Block, chain.engine.get_block(height), limit_bytes=1 << 24)
        decided = engine.replay(chain.engine.get_header(height), block)
        replayed.commit(decided.rows)
        engine.finish(decided)
        for data in block.transactions:
            assert chain.engine.get_outcome(sha256(data)).height == height
    assert engine.last_header == chain.engine.last_header
    for table in ("record", "node", "meta"):
        rows = dict(chain.store.scan(table, b"", b"", 100_000))
        assert rows == replayed._tables[table]
    assert len(chain.store.scan("record", ACCOUNT, b"", 100)) == 4
