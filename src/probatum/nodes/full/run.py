"""The full node as a process: ``python -m probatum.nodes.full.run --home DIR``.

Its home holds ``node.toml``, ``genesis.json``, the engine's ``keys/operating.json`` and, once it
has run, ``ledger.sqlite``. Read next: `machine`, `app`, `probatum.nodes.shell.process`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from probatum.consensus.chain.sqlite_store import SqliteStore
from probatum.consensus.embedded.engine import EmbeddedEngine
from probatum.ledger.genesis import GENESIS_BYTES, compute_genesis_hash, decode_genesis
from probatum.nodes.full.app import make_app
from probatum.nodes.full.machine import FullNode, FullSettings
from probatum.nodes.shell.config import FullConfig, load_node_key, read_small_file
from probatum.nodes.shell.process import Party, Site, make_world, run_process

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a full node until it ends; return the process's exit code."""
    return run_process(FullConfig, _build, arguments)


def _build(site: Site[FullConfig]) -> Party:
    genesis = decode_genesis(read_small_file(site.home / "genesis.json", limit_bytes=GENESIS_BYTES))
    signer = load_node_key(site.home)
    store = SqliteStore.open(site.home / "ledger.sqlite")
    try:
        engine = EmbeddedEngine.open(store=store, genesis=genesis, signer=signer)
        machine = FullNode(engine, FullSettings(block_interval_ms=site.config.block_interval_ms))
    except BaseException:
        store.close()
        raise
    return Party(
        machine=machine,
        world=make_world(tables=store),
        make_app=make_app,
        close=store.close,
        ready={
            "key": signer.key.hex(),
            "chain_id": str(genesis.chain_id),
            "genesis_hash": compute_genesis_hash(genesis).hex(),
        },
    )


if __name__ == "__main__":
    sys.exit(main())
