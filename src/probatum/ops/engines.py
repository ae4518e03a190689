"""The validators of a network's folder: their homes at its making, their places at each start.

Every engine knows the others by port, so all ports of engines are settled before the first one
starts: those of the last time, unless somebody else listens there by now. Must not know processes.
Read next: `engine_homes`, `validators`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from probatum.consensus.cometbft.settings import EngineSettings, Peer
from probatum.ledger.genesis import Genesis
from probatum.ops.engine_homes import check_engine_home, get_node_id, move_engine, write_engine_home
from probatum.ops.ports import draw_ports, is_free, load_ports, save_ports
from probatum.ops.validators import Validator

__all__ = ["make_engine_homes", "name_validators", "place_engines"]


def name_validators(count: int) -> tuple[str, ...]:
    """Name the validators of a network on one machine."""
    return tuple(f"validator-{number}" for number in range(1, count + 1))


def make_engine_homes(
    homes: Mapping[str, Path], genesis: Genesis, *, block_interval_ms: int
) -> None:
    """Write the settings and genesis of engines whose keys are there already.

    Args:
        homes: Validators' folders by name.
        genesis: Of their chain.
        block_interval_ms: Time between blocks.

    Raises:
        Fault: `engine.unwritable`.
    """
    for name, home in homes.items():
        # Ports are settled at each start; zeros never reach an engine.
        settings = EngineSettings(
            moniker=name, p2p_port=0, rpc_port=0, block_interval_ms=block_interval_ms
        )
        write_engine_home(home, genesis, settings)


def place_engines(
    folder: Path, homes: Mapping[str, Path], genesis: Genesis
) -> tuple[Validator, ...]:
    """Settle where everybody is, tell every engine, and look their homes over.

    Args:
        folder: The network's, which remembers the ports.
        homes: Validators' folders by name.
        genesis: Of their chain.

    Raises:
        Refusal, Fault: As `check_engine_home` and `move_engine`.
    """
    ports = load_ports(folder)
    wanted = [f"{name}-{use}" for name in homes for use in ("p2p", "rpc")]
    settled = _settle({use: ports.get(use, 0) for use in wanted})
    save_ports(folder, {**ports, **settled})
    ids = {name: get_node_id(home) for name, home in homes.items()}
    for name, home in homes.items():
        peers = tuple(
            Peer(id=ids[other], host="127.0.0.1", port=settled[f"{other}-p2p"])
            for other in homes
            if other != name
        )
        p2p_port, rpc_port = settled[f"{name}-p2p"], settled[f"{name}-rpc"]
        move_engine(home, p2p_port=p2p_port, rpc_port=rpc_port, peers=peers)
        check_engine_home(home, genesis)
    return tuple(
        Validator(name=name, home=home, port=ports.get(name, 0), rpc_port=settled[f"{name}-rpc"])
        for name, home in homes.items()
    )


def _settle(ports: Mapping[str, int]) -> dict[str, int]:
    """Keep the ports that are free, each once, and draw the others."""
    settled: dict[str, int] = {}
    for use, port in ports.items():
        if port and port not in settled.values() and is_free(port):
            settled[use] = port
    missing = [use for use in ports if use not in settled]
    settled.update(zip(missing, draw_ports(len(missing), but=settled.values()), strict=True))
    return settled
