"""The full node as a process: ``python -m probatum.nodes.full.run --home DIR``.

Its home holds ``node.toml``, ``genesis.json`` and, once it has run, ``ledger.sqlite``. With the
embedded engine it holds the engine's ``keys/operating.json``, too; with CometBFT, which runs
beside it as a process of its own, the engine's folder ``engine``, ``snapshots``, and the socket
``abci.sock`` while it runs. Read next: `machine`, `ordered`, `app`, `probatum.nodes.shell.process`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from probatum.consensus.chain.sqlite_store import SqliteStore
from probatum.consensus.cometbft.adapter_settings import AdapterSettings
from probatum.consensus.cometbft.settings import SOCKET
from probatum.consensus.cometbft.versions import APP_VERSION, AppVersions
from probatum.consensus.embedded.engine import EmbeddedEngine
from probatum.ledger.genesis import Genesis, compute_genesis_hash
from probatum.nodes.full.app import make_app
from probatum.nodes.full.machine import FullNode, FullSettings
from probatum.nodes.full.ordered import OrderedNode
from probatum.nodes.shell.config import FullConfig, load_node_key
from probatum.nodes.shell.engine_files import (
    get_first_version,
    get_oldest_snapshot,
    get_rpc_port,
)
from probatum.nodes.shell.engine_link import EngineLink
from probatum.nodes.shell.genesis_file import load_genesis
from probatum.nodes.shell.logs import write_report
from probatum.nodes.shell.process import Party, Site, make_world, run_process
from probatum.nodes.shell.snapshots import SnapshotShelf

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None, *, app_version: int = APP_VERSION) -> int:
    """Run a full node until it ends; return the process's exit code.

    Args:
        arguments: The command line; None for this process's own.
        app_version: The newest rules that blocks are decided by.
    """
    return run_process(FullConfig, partial(_build, app_version=app_version), arguments)


def _build(site: Site[FullConfig], *, app_version: int) -> Party:
    genesis = load_genesis(site.home / "genesis.json")
    ordered = partial(_build_ordered, app_version=app_version)
    build = ordered if genesis.engine == "cometbft" else _build_alone
    store = SqliteStore.open(site.home / "ledger.sqlite")
    try:
        return build(site, genesis, store)
    except BaseException:
        store.close()
        raise


def _build_alone(site: Site[FullConfig], genesis: Genesis, store: SqliteStore) -> Party:
    signer = load_node_key(site.home)
    engine = EmbeddedEngine.open(store=store, genesis=genesis, signer=signer)
    machine = FullNode(engine, FullSettings(block_interval_ms=site.config.block_interval_ms))
    return Party(
        machine=machine,
        world=make_world(tables=store),
        make_app=make_app,
        close=store.close,
        ready={"key": signer.key.hex(), **_name(genesis)},
    )


def _build_ordered(
    site: Site[FullConfig], genesis: Genesis, store: SqliteStore, *, app_version: int
) -> Party:
    versions = AppVersions(
        known=app_version,
        first=get_first_version(site.home),
        last_heights=site.config.upgrade_heights,
    )
    link = EngineLink(
        store=store,
        genesis=genesis,
        socket=site.home / SOCKET,
        rpc_port=get_rpc_port(site.home),
        report=write_report,
        shelf=SnapshotShelf(site.home / "snapshots"),
        snapshot_blocks=site.config.snapshot_blocks,
        settings=AdapterSettings(
            versions=versions,
            keep_blocks=site.config.keep_blocks,
            oldest_snapshot=get_oldest_snapshot(site.home),
        ),
    )
    settings = FullSettings(block_interval_ms=site.config.block_interval_ms)
    return Party(
        machine=OrderedNode(link.adapter.sealed, settings),
        world=make_world(transport=link),
        make_app=partial(make_app, begin=link.begin),
        close=store.close,
        ready={"engine": genesis.engine, **_name(genesis)},
    )


def _name(genesis: Genesis) -> dict[str, str]:
    return {
        "chain_id": str(genesis.chain_id),
        "genesis_hash": compute_genesis_hash(genesis).hex(),
    }


if __name__ == "__main__":
    sys.exit(main())
