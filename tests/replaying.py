"""Applies recorded blocks (`vectors/ledger`) and tells what came of them, in words.

Run as a program it prints that of every recorded chain, so that another interpreter, or the same
one otherwise started, can be asked for it: ``python -m tests.replaying FILE``. It needs nothing
but the ledger.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from probatum.ledger.apply import apply_block
from probatum.ledger.genesis import (
    compute_genesis_changes,
    compute_genesis_hash,
    decode_genesis,
    get_domain,
)
from probatum.ledger.statemap import MemoryNodeStore, MerkleMap
from probatum.protocol import limits
from probatum.protocol.blocks import (
    Block,
    compute_results_root,
    compute_transactions_root,
)
from probatum.protocol.encoding import decode
from probatum.protocol.headers import Header, compute_header_hash

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "ledger" / "1.json"


class Replay:
    """A chain's state, block by block."""

    def __init__(self, document):
        self.genesis = decode_genesis(document)
        self.domain = get_domain(self.genesis)
        self.state = {}
        self._store = MemoryNodeStore()
        self._map = MerkleMap(self._store)
        self._previous = compute_genesis_hash(self.genesis)
        self._write(compute_genesis_changes(self.genesis))

    def _write(self, changes):
        update = self._map.update({change.key: change.value for change in changes})
        self._store.commit(update)
        self._map = MerkleMap(self._store, update.root)
        for change in changes:
            if change.value is None:
                del self.state[change.key]
            else:
                self.state[change.key] = change.value

    @property
    def root(self):
        return self._map.root.digest

    def apply(self, data):
        """Apply an encoded block; returns what came of it as a vector has it."""
        block = decode(Block, data, limit_bytes=limits.BLOCK_BYTES)
        applied = apply_block(self.state, block, self.domain)
        self._write(applied.changes)
        header = Header(
            chain_id=self.domain.chain_id,
            genesis_hash=self.domain.genesis_hash,
            height=block.height,
            previous=self._previous,
            state_root=self.root,
            transactions_root=compute_transactions_root(block.transactions),
            results_root=compute_results_root(applied.results),
            time_ms=block.time_ms,
        )
        self._previous = compute_header_hash(header)
        return {
            "codes": [result.code for result in applied.results],
            "state_root": self.root.hex(),
            "header_hash": self._previous.hex(),
            "validator_updates": [
                {"key": update.key.hex(), "power": update.power}
                for update in applied.validator_updates
            ],
        }


def replay(chain):
    """Replay a recorded chain; returns genesis hash, first root and what came of each block."""
    done = Replay(chain["genesis"].encode())
    return {
        "genesis_hash": compute_genesis_hash(done.genesis).hex(),
        "genesis_root": done.root.hex(),
        "blocks": [done.apply(bytes.fromhex(block["block"])) for block in chain["blocks"]],
    }


if __name__ == "__main__":
    chains = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["chains"]
    print(json.dumps([replay(chain) for chain in chains], sort_keys=True))
