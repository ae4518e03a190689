"""What it takes to join a network of validators: one set of options for whoever makes such a home.

Must not know what runs in it afterwards.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Group, Parameter

from probatum.cli.founding import describe_genesis
from probatum.cli.output import note
from probatum.cli.settings import Common
from probatum.consensus.cometbft.settings import EngineSettings, SnapshotSource
from probatum.errors import Refusal
from probatum.ledger.genesis import Genesis
from probatum.ops.founding import FOUNDER, install_genesis, is_founder_home, load_founder
from probatum.ops.joining import Joined, join_network, load_network, name_home, read_peers
from probatum.ops.sources import check_source, make_source

__all__ = ["NOTHING", "JoinFlags", "join"]

_JOINING: Final = Group("Joining a network of validators", sort_key=50)
_P2P_PORT: Final = 26_656


@Parameter(name="*", group=_JOINING)
@dataclass(frozen=True, slots=True, kw_only=True)
class JoinFlags:
    """How a full node joins.

    Attributes:
        genesis: The network's genesis document.
        peer: Engines to connect to.
        host: The address at which other engines reach this one.
        p2p_port: The port that they reach it at; the next one is for this machine alone.
        block_ms: Time between blocks.
        snapshot_from: Whom to ask for the headers that prove a snapshot; none begins with the
            first block.
    """

    genesis: Annotated[Path | None, Parameter(help="The network's genesis.json.")] = None
    peer: Annotated[
        tuple[str, ...],
        Parameter(
            help="An engine to connect to, id@host:port, or several with commas.", negative=""
        ),
    ] = ()
    host: Annotated[str, Parameter(help="The address at which other engines reach this one.")] = (
        "127.0.0.1"
    )
    p2p_port: Annotated[
        int, Parameter(help="Port for other engines; the next one is for this machine's questions.")
    ] = _P2P_PORT
    block_ms: Annotated[
        int, Parameter(help="Milliseconds between two blocks, as the others have it.")
    ] = 1_000
    snapshot_from: Annotated[
        tuple[str, ...],
        Parameter(
            help="RPC address of an engine, given twice at least: begin from a snapshot.",
            negative="",
        ),
    ] = ()


NOTHING: Final = JoinFlags()


def join(home: Path, flags: JoinFlags, common: Common) -> Joined:
    """Make the home of a full node that follows a network.

    Raises:
        Refusal: `network.no-genesis`, `network.no-peer`; as `join_network`, `make_source` and
            `check_source`.
        Fault: As `join_network`.
    """
    if flags.genesis is None:
        raise Refusal(
            "network.no-genesis", "nothing says which network to join", hint="--genesis FILE"
        )
    peers = read_peers(flags.peer)
    if not peers:
        raise Refusal(
            "network.no-peer",
            "nothing says where the network is",
            hint="--peer ID@HOST:PORT: whoever runs an engine can name its own",
        )
    genesis = load_network(flags.genesis)
    settings = EngineSettings(
        moniker=name_home(home),
        host=flags.host,
        p2p_port=flags.p2p_port,
        rpc_port=flags.p2p_port + 1,
        peers=peers,
        block_interval_ms=flags.block_ms,
        is_local=flags.host == "127.0.0.1",
        source=_find_source(flags, genesis, common) if flags.snapshot_from else None,
    )
    if is_founder_home(home):
        return _install(home, genesis, settings)
    return join_network(home, genesis, settings)


def _install(home: Path, genesis: Genesis, settings: EngineSettings) -> Joined:
    """Let a founder's home begin: it is where it said, and all others are its peers."""
    founder = load_founder(home / FOUNDER)
    peers = tuple(peer for peer in settings.peers if peer.id != founder.engine)
    for name, value in describe_genesis(genesis).items():
        note(f"{name.replace('_', ' ')}: {value}")
    note("Compare the genesis hash with every other founder before you start.")
    return install_genesis(home, genesis, replace(settings, peers=peers))


def _find_source(flags: JoinFlags, genesis: Genesis, common: Common) -> SnapshotSource:
    now_ms = time.time_ns() // 1_000_000
    source = make_source(flags.snapshot_from, common.get_trust(), genesis, now_ms=now_ms)
    for server in sorted(set(source.servers) - set(check_source(source))):
        note(f"{server} did not show the trusted header: the engine will ask it again")
    return source
