"""How many signed transfers a second one process commits, and how long one alone waits.

End to end through the full node's machine: decode, signature, nonce and fee, handler, invariants,
state tree, roots, signed header, one flushed SQLite transaction a block. The peer is the bare
check of the same signatures on the same core: no ledger that checks them can be faster.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from probatum.consensus.chain.sqlite_store import SqliteStore
from probatum.consensus.embedded.engine import EmbeddedEngine
from probatum.ledger.genesis import Genesis, get_domain, make_genesis
from probatum.machine.events import Arrived, Durable, Event, Fired, Moment, Started
from probatum.machine.wishes import Commit, Reply, Wish
from probatum.nodes.full.machine import FullNode, FullSettings
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.encoding import encode
from probatum.protocol.hashing import sha256
from probatum.protocol.messages import Outcome, Submit
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.transactions.kinds import Transfer
from probatum.protocol.transactions.signed import (
    check_sender,
    decode_transaction,
    sign_transaction,
)

ACCOUNTS = 8_000
TRANSFERS = 20_000
SINGLES = 200
GOAL_PER_S = 4_000
SCRATCH = Path(__file__).resolve().parents[1] / ".cache"


class Ledger:
    """A full node over a store on disk; wishes are granted on the spot."""

    def __init__(self, path: Path, genesis: Genesis, signer: OperatingSigner) -> None:
        self.store = SqliteStore.open(path)
        engine = EmbeddedEngine.open(store=self.store, genesis=genesis, signer=signer)
        self.node = FullNode(engine, FullSettings(block_interval_ms=50))
        self.acknowledged = 0
        self.step(Started())

    def step(self, event: Event) -> None:
        wishes: list[Wish] = [*self.node.step(event, Moment(time.time_ns() // 10**6, bytes(32)))]
        while wishes:
            match wishes.pop(0):
                case Commit(ticket=ticket, rows=rows):
                    self.store.commit(rows)
                    wishes += self.node.step(Durable(ticket), Moment(0, bytes(32)))
                case Reply(message=message):
                    assert isinstance(message, Outcome), message
                    assert message.code == "ok", message
                    self.acknowledged += 1

    def commit(self, transactions: list[bytes], per_block: int) -> float:
        """Submit all, a block at a time; returns seconds."""
        begun, before = time.perf_counter(), self.acknowledged
        for start in range(0, len(transactions), per_block):
            for number, data in enumerate(transactions[start : start + per_block], start):
                self.step(Arrived(f"c{number}", Submit(transaction=data)))
            self.step(Fired("block"))
        assert self.acknowledged - before == len(transactions)
        return time.perf_counter() - begun


def make_transfers(
    genesis: Genesis, signers: list[AccountSigner], count: int, nonces: dict[int, int]
) -> list[bytes]:
    domain = get_domain(genesis)
    made = []
    for number in range(count):
        place = number % len(signers)
        body = Transfer(to=signers[(7 * number + 1) % len(signers)].address, amount=5)
        nonce = nonces[place] = nonces.get(place, -1) + 1
        signed = sign_transaction(domain, signers[place], nonce=nonce, fee_units=1_000, body=body)
        made.append(encode(signed))
    return made


def measure_signatures(genesis: Genesis, transactions: list[bytes]) -> float:
    """Signatures checked a second, with nothing else but decoding."""
    domain = get_domain(genesis)
    opened = [decode_transaction(data) for data in transactions]
    begun = time.perf_counter()
    for transaction in opened:
        check_sender(domain, transaction)
    return len(opened) / (time.perf_counter() - begun)


def run(*, quick: bool = False) -> list[dict[str, object]]:
    """Measure; one row a figure."""
    transfers, singles = (4_000, 50) if quick else (TRANSFERS, SINGLES)
    engine = OperatingSigner(sha256(b"benchmark engine"))
    signers = [AccountSigner(sha256(b"benchmark %d" % n)) for n in range(ACCOUNTS)]
    genesis = make_genesis(
        chain_id=1337,
        time_ms=0,
        key=engine.key,
        balances={signer.address: 10**12 for signer in signers},
    )
    nonces: dict[int, int] = {}
    many = make_transfers(genesis, signers, transfers, nonces)
    small = make_transfers(genesis, signers, 4_000, nonces)
    single = make_transfers(genesis, signers, singles, nonces)
    peer = measure_signatures(genesis, many[:4_000])
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        ledger = Ledger(Path(folder) / "ledger.db", genesis, engine)
        large_rate = len(many) / ledger.commit(many, 2_000)
        small_rate = len(small) / ledger.commit(small, 200)
        times = sorted(ledger.commit([data], 1) for data in single)
        ledger.store.close()
    return [
        rate_row("transfers, blocks of 2,000", large_rate, peer),
        rate_row("transfers, blocks of 200", small_rate, peer),
        wait_row("one transfer to durable, median", times[len(times) // 2]),
        wait_row("one transfer to durable, 99 %", times[len(times) * 99 // 100]),
    ]


def rate_row(name: str, rate: float, peer: float) -> dict[str, object]:
    return {
        "name": name,
        "value": round(rate),
        "unit": "1/s",
        "peer": f"bare signature checks {peer:,.0f}/s",
        "ratio": round(rate / peer, 2),
        "goal": GOAL_PER_S,
        "met": rate >= GOAL_PER_S,
    }


def wait_row(name: str, seconds: float) -> dict[str, object]:
    return {
        "name": name,
        "value": round(seconds * 1_000, 2),
        "unit": "ms",
        "peer": "",
        "ratio": None,
        "goal": None,
        "met": None,
    }


if __name__ == "__main__":
    for row in run():
        print(row)
