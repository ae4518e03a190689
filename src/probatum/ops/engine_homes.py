"""An engine's folder within a full node's home: made, brought up to date, and looked over.

    engine/config/config.toml               settings; what people change stays
    engine/config/genesis.json              made of ours, see `probatum.consensus.cometbft.genesis`
    engine/config/priv_validator_key.json   votes: whoever has it can double sign
    engine/config/node_key.json             names the engine to its peers
    engine/data/priv_validator_state.json   what it has voted for: never wound back

Keys are made once and never replaced here. Must not know processes. Read next: `validators`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from probatum.consensus.cometbft.genesis import (
    ENGINE_GENESIS_BYTES,
    check_engine_genesis,
    make_engine_genesis,
)
from probatum.consensus.cometbft.keys import (
    ENGINE_KEY_BYTES,
    START_STATE,
    check_vote_state,
    compute_node_id,
    decode_node_key,
    decode_validator_key,
    encode_node_key,
    encode_validator_key,
)
from probatum.consensus.cometbft.settings import (
    CONFIG_BYTES,
    SOCKET,
    EngineSettings,
    Peer,
    change_settings,
    make_settings,
    read_setting,
)
from probatum.errors import Fault, Refusal
from probatum.ledger.genesis import Genesis
from probatum.nodes.shell.config import read_small_file
from probatum.nodes.shell.engine_files import ENGINE_FOLDER, get_rpc_port
from probatum.nodes.shell.keys import read_private, save_private
from probatum.protocol.ed25519 import OperatingSigner

__all__ = [
    "LEAST_BLOCK_MS",
    "MOST_BLOCK_MS",
    "check_engine_home",
    "create_engine_keys",
    "get_node_id",
    "is_engine_home",
    "load_validator_key",
    "move_engine",
    "write_engine_home",
]

LEAST_BLOCK_MS: Final = 50
"""As the least that a full node's settings take."""
MOST_BLOCK_MS: Final = 600_000


def is_engine_home(home: Path) -> bool:
    """Whether a full node's home has an engine of its own beside it."""
    return (home / ENGINE_FOLDER / "config").is_dir()


def create_engine_keys(home: Path) -> OperatingSigner:
    """Make an engine's two keys, and the note that nothing was voted for yet.

    Returns:
        The consensus key.

    Raises:
        Refusal: `key.exists`.
        Fault: `key.unwritable`.
    """
    voter, node = OperatingSigner(os.urandom(32)), OperatingSigner(os.urandom(32))
    save_private(_config(home) / "priv_validator_key.json", encode_validator_key(voter))
    save_private(_config(home) / "node_key.json", encode_node_key(node))
    save_private(home / ENGINE_FOLDER / "data" / "priv_validator_state.json", START_STATE)
    return voter


def load_validator_key(home: Path) -> OperatingSigner:
    """Load the consensus key. Raises Refusal `key.*`, `engine.bad-key`."""
    return _load_key(_config(home) / "priv_validator_key.json", decode_validator_key)


def get_node_id(home: Path) -> str:
    """Get the name by which peers know an engine. Raises Refusal `key.*`, `engine.bad-key`."""
    return compute_node_id(_load_key(_config(home) / "node_key.json", decode_node_key))


def write_engine_home(home: Path, genesis: Genesis, settings: EngineSettings) -> None:
    """Write what is no secret: settings and genesis.

    Raises:
        Refusal: `network.bad-plan` if blocks would come too often or too seldom.
        Fault: `engine.unwritable`.
    """
    interval_ms = settings.block_interval_ms
    if not LEAST_BLOCK_MS <= interval_ms <= MOST_BLOCK_MS:
        said = f"blocks cannot come {interval_ms} ms apart"
        hint = f"--block-ms: {LEAST_BLOCK_MS} to {MOST_BLOCK_MS}, alike on all validators"
        raise Refusal("network.bad-plan", said, hint=hint)
    _write(_config(home) / "config.toml", make_settings(settings).encode())
    _write(_config(home) / "genesis.json", make_engine_genesis(genesis))


def move_engine(home: Path, *, p2p_port: int, rpc_port: int, peers: tuple[Peer, ...]) -> None:
    """Give an engine on this machine other ports and peers; other settings stay.

    Raises:
        Refusal: `config.missing`, `config.malformed`, `engine.bad-config`.
        Fault: `config.unreadable`, `engine.unwritable`.
    """
    text = _read_config(home)
    changes: Mapping[tuple[str, str], str | int | bool] = {
        ("", "proxy_app"): f"unix://{SOCKET}",
        ("rpc", "laddr"): f"tcp://127.0.0.1:{rpc_port}",
        ("p2p", "laddr"): f"tcp://127.0.0.1:{p2p_port}",
        ("p2p", "persistent_peers"): ",".join(map(str, peers)),
    }
    changed = change_settings(text, changes)
    if changed != text:
        _write(_config(home) / "config.toml", changed.encode())


def check_engine_home(home: Path, genesis: Genesis) -> None:
    """Check what an engine would start with: keys nobody else may read, votes, genesis, socket.

    Raises:
        Refusal: `key.*`, `engine.bad-key`, `engine.unknown-votes`, `engine.bad-config`,
            `config.missing`, `genesis.other-engine-genesis`.
        Fault: `config.unreadable`.
    """
    load_validator_key(home)
    get_node_id(home)
    _check_votes(home / ENGINE_FOLDER / "data" / "priv_validator_state.json")
    data = read_small_file(_config(home) / "genesis.json", limit_bytes=ENGINE_GENESIS_BYTES)
    check_engine_genesis(genesis, data)
    get_rpc_port(home)
    proxy = read_setting(_read_config(home), "", "proxy_app")
    if proxy != f"unix://{SOCKET}":
        raise Refusal(
            "engine.bad-config",
            f"{home}: proxy_app of CometBFT's config.toml is {proxy!r:.60}",
            hint=f'write proxy_app = "unix://{SOCKET}": the engine is started in the home folder',
        )


def _load_key(path: Path, decode: Callable[[bytes], OperatingSigner]) -> OperatingSigner:
    """Load one of the two keys, and say which it is if it is none."""
    data = read_private(path)
    try:
        return decode(data)
    except Refusal as error:
        raise Refusal(error.code, f"{path}: {error.message}", hint=error.hint) from None


def _check_votes(path: Path) -> None:
    """Check that it is known what was voted for: guessed too low, it is voted for twice."""
    hint = "docs/operating/validators.md, restore: write a height that nobody can have voted for"
    try:
        check_vote_state(read_small_file(path, limit_bytes=ENGINE_KEY_BYTES))
    except Refusal as error:
        said = f"{error.message}: {path}" if path.exists() else error.message
        raise Refusal("engine.unknown-votes", said, hint=hint) from None


def _config(home: Path) -> Path:
    return home / ENGINE_FOLDER / "config"


def _read_config(home: Path) -> str:
    path = _config(home) / "config.toml"
    try:
        return read_small_file(path, limit_bytes=CONFIG_BYTES).decode()
    except UnicodeDecodeError:
        raise Refusal("engine.bad-config", f"{path} is not UTF-8 text") from None


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.write_bytes(data)
        fresh.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise Fault("engine.unwritable", f"cannot write {path}: {error.strerror}") from None
