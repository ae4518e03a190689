"""A home for one full node of a network that runs elsewhere: its own keys, others' genesis.

Whoever has stake validates with it later (`probatum validator`); without stake it follows and
serves. Must not know processes. Read next: `engine_homes`, `keeping`.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from probatum.consensus.cometbft.settings import EngineSettings, Peer
from probatum.errors import Fault, Refusal
from probatum.ledger.genesis import (
    Genesis,
    compute_genesis_hash,
    encode_genesis,
)
from probatum.nodes.shell.config import FullConfig, write_config
from probatum.nodes.shell.genesis_file import load_genesis
from probatum.nodes.shell.keys import create_operating_key
from probatum.ops.engine_homes import create_engine_keys, get_node_id, write_engine_home
from probatum.ops.ports import draw_ports
from probatum.protocol.ed25519 import OperatingSigner

__all__ = [
    "Joined",
    "check_place",
    "join_network",
    "load_network",
    "make_home",
    "name_home",
    "read_peer",
    "read_peers",
    "write_chain",
]

_HOST: Final = r"[A-Za-z0-9.-]{1,253}|\[[0-9a-f:]{2,45}\]"
_PEER: Final = re.compile(rf"^([0-9a-f]{{40}})@({_HOST}):([0-9]{{1,5}})\Z")
_UNNAMEABLE: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_NAME_LETTERS: Final = 64
_PORTS: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """What was made.

    Attributes:
        peer: How others name its engine: id@host:port.
        key: The consensus key, which votes once it is registered and has stake.
        genesis_hash: The chain's name.
    """

    peer: str
    key: bytes
    genesis_hash: bytes


def read_peer(text: str) -> Peer:
    """Read id@host:port. Raises Refusal `network.bad-peer`."""
    found = _PEER.match(text)
    if found is None or not 0 < int(found[3]) < _PORTS:
        raise Refusal(
            "network.bad-peer",
            f"{text!r:.100} is no peer",
            hint="40 hex digits @ host : port, as `probatum network init` and `join` show it",
        )
    return Peer(id=found[1], host=found[2], port=int(found[3]))


def read_peers(texts: tuple[str, ...]) -> tuple[Peer, ...]:
    """Read peers, one or several with commas in each text; errors as `read_peer`."""
    return tuple(read_peer(one) for text in texts for one in text.strip().split(","))


def check_place(host: str, p2p_port: int) -> None:
    """Check where an engine is to be: others get it in a list, and the next port is taken too.

    Raises:
        Refusal: `network.bad-place`.
    """
    if re.fullmatch(_HOST, host) is None:
        raise Refusal(
            "network.bad-place",
            f"{host!r:.100} is no host",
            hint="--host: a name, an IPv4 address, or an IPv6 one in brackets; no port",
        )
    if not 0 < p2p_port < _PORTS - 1:
        raise Refusal(
            "network.bad-place",
            f"an engine cannot have the ports {p2p_port} and {p2p_port + 1}",
            hint=f"--p2p-port: 1 to {_PORTS - 2}; the next one is for this machine's questions",
        )


def name_home(home: Path) -> str:
    """Name a home for people by its folder, in the letters that every file about it can have."""
    named = _UNNAMEABLE.sub("-", home.absolute().name).strip("-._")
    return named[:_NAME_LETTERS] or "node"


def load_network(genesis_path: Path) -> Genesis:
    """Load the genesis document of a network of validators.

    Raises:
        Refusal: `network.no-engine` if the network has one key for an engine; `config.missing`,
            `encoding.*`, `genesis.*`.
        Fault: `config.unreadable`.
    """
    genesis = load_genesis(genesis_path)
    if genesis.engine != "cometbft":
        raise Refusal(
            "network.no-engine", "this network has no validators: one key signs its headers"
        )
    return genesis


def join_network(home: Path, genesis: Genesis, settings: EngineSettings) -> Joined:
    """Make a home, whole or not at all.

    Args:
        home: A new folder.
        genesis: The network's genesis document.
        settings: Of its engine.

    Raises:
        Refusal: as `check_place`, `make_home` and `write_engine_home`.
        Fault: as `make_home`, `engine.unwritable`, `config.*`.
    """
    check_place(settings.host, settings.p2p_port)
    with make_home(home) as (fresh, voter):
        write_chain(fresh, genesis, settings)
        peer = Peer(id=get_node_id(fresh), host=settings.host, port=settings.p2p_port)
    return Joined(peer=str(peer), key=voter.key, genesis_hash=compute_genesis_hash(genesis))


@contextmanager
def make_home(home: Path) -> Iterator[tuple[Path, OperatingSigner]]:
    """Make a home with its keys, whole or not at all: what is done meanwhile is part of it.

    Yields:
        The folder as long as it is not there, and the key that votes.

    Raises:
        Refusal: `network.home-exists`.
        Fault: `network.disk`, `key.unwritable`.
    """
    if home.exists():
        raise Refusal("network.home-exists", f"{home} is there already", hint="name a new folder")
    fresh: Path | None = None
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=".probatum-", dir=home.parent))
        create_operating_key(fresh / "keys" / "operating.json")
        yield fresh, create_engine_keys(fresh)
        fresh.rename(home)
    except OSError as error:
        raise Fault("network.disk", f"cannot make {home}: {error.strerror}") from None
    finally:
        if fresh is not None:
            shutil.rmtree(fresh, ignore_errors=True)


def write_chain(home: Path, genesis: Genesis, settings: EngineSettings) -> None:
    """Write what a home knows of its chain: its engine's files, its own settings, the genesis.

    The genesis document comes last: a home with one is complete.

    Raises:
        OSError: The genesis document cannot be written.
        Refusal: as `write_engine_home`.
        Fault: `engine.unwritable`, `config.unwritable`.
    """
    write_engine_home(home, genesis, settings)
    (port,) = draw_ports(1, but=(settings.p2p_port, settings.rpc_port))
    write_config(home, FullConfig(port=port, block_interval_ms=settings.block_interval_ms))
    (home / "genesis.json").write_bytes(encode_genesis(genesis) + b"\n")
