"""Taking a stopped full node's last block back: half of a stray one's repair (`ABCI-3`).

The other half is its engine's own command, ``cometbft rollback``. Must not know processes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from probatum.consensus.chain.sqlite_store import SqliteStore
from probatum.consensus.cometbft.tip import Tip
from probatum.errors import Refusal
from probatum.nodes.shell.genesis_file import load_genesis
from probatum.nodes.shell.journal import lock_home
from probatum.protocol.primitives import Digest

__all__ = ["undo_last_block"]

_CACHED: Final = 1_000


def undo_last_block(home: Path) -> tuple[int, Digest]:
    """Take the last block of a full node back, unless its header is sealed.

    Args:
        home: The node's folder; the node must have stopped.

    Returns:
        The height at which the ledger stands then, and its app hash.

    Raises:
        Refusal: `consensus.cannot-undo`; `undo.other-engine` if the engine is one key;
            `config.missing`, `genesis.*`, `encoding.*`.
        Fault: `home.locked` if the node runs; `store.*`.
    """
    genesis = load_genesis(home / "genesis.json")
    if genesis.engine != "cometbft":
        raise Refusal(
            "undo.other-engine",
            "this ledger has no validators: what its engine signed is never taken back",
        )
    lock = lock_home(home)
    try:
        store = SqliteStore.open(home / "ledger.sqlite")
        try:
            tip = Tip(store, genesis, cached_nodes=_CACHED, cached_records=_CACHED)
            store.commit(tip.make_rollback_rows())
            tip.load()
            return tip.height, tip.app_hash
        finally:
            store.close()
    finally:
        os.close(lock)
