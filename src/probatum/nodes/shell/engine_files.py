"""Where a full node's engine has its files, within the node's home.

Must not know what is in them, but for what the node needs: where to ask, and what is trusted.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from probatum.consensus.cometbft.genesis import ENGINE_GENESIS_BYTES, read_app_version
from probatum.consensus.cometbft.settings import CONFIG_BYTES, read_setting
from probatum.errors import Refusal
from probatum.nodes.shell.config import read_small_file

__all__ = [
    "ENGINE_FOLDER",
    "OLD_BLOCKS",
    "get_first_version",
    "get_oldest_snapshot",
    "get_rpc_port",
]

ENGINE_FOLDER: Final = "engine"
"""The engine's own folder, within a full node's home."""
OLD_BLOCKS: Final = 10_000
"""A snapshot so far before the trusted header is of no use: peers may have forgotten what came."""
_PORT: Final = re.compile(r"^tcp://(?:127\.0\.0\.1|localhost|0\.0\.0\.0):([0-9]{1,5})\Z")


def get_first_version(home: Path) -> int:
    """Get the app version of a chain's first block, as the engine's genesis file names it.

    Raises:
        Refusal: `config.missing`, `genesis.other-engine-genesis`.
        Fault: `config.unreadable`.
    """
    path = home / ENGINE_FOLDER / "config" / "genesis.json"
    return read_app_version(read_small_file(path, limit_bytes=ENGINE_GENESIS_BYTES))


def get_oldest_snapshot(home: Path) -> int:
    """Get the height below which a node that joins by a trusted header takes no snapshot.

    Raises:
        Refusal: `config.missing`, `config.malformed`, `engine.bad-config`.
        Fault: `config.unreadable`.
    """
    said = read_setting(_read(_get_path(home)), "statesync", "trust_height")
    return max(0, said - OLD_BLOCKS) if isinstance(said, int) else 0


def _get_path(home: Path) -> Path:
    return home / ENGINE_FOLDER / "config" / "config.toml"


def _read(path: Path) -> str:
    try:
        return read_small_file(path, limit_bytes=CONFIG_BYTES).decode()
    except UnicodeDecodeError:
        raise Refusal("config.malformed", f"{path} is not UTF-8 text") from None


def get_rpc_port(home: Path) -> int:
    """Get the port at which this machine can ask an engine.

    Raises:
        Refusal: `config.missing`, `config.malformed`, `engine.bad-config`.
        Fault: `config.unreadable`.
    """
    path = _get_path(home)
    said = read_setting(_read(path), "rpc", "laddr")
    found = _PORT.match(said) if isinstance(said, str) else None
    if found is None or not 0 < int(found[1]) < 1 << 16:
        raise Refusal(
            "engine.bad-config",
            f"{path}: rpc.laddr is {said!r:.60}, not an address of this machine",
            hint='write laddr = "tcp://127.0.0.1:26657" under [rpc]',
        )
    return int(found[1])
