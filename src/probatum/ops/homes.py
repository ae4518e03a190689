"""The configuration of each process of a local network.

Written at every start, because the ledger may have moved to another port; what a person changed
in a `node.toml` stays. Must not know processes.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from probatum.nodes.shell.config import (
    FullConfig,
    GatewayConfig,
    InferenceConfig,
    change_config,
    load_config,
    write_config,
)
from probatum.ops.folder import GATEWAY, LEDGER, NetworkFolder
from probatum.protocol.manifests import Manifest
from probatum.protocol.parties import ArithmeticClass
from probatum.protocol.primitives import address_to_hex

__all__ = ["list_classes", "write_home"]


def write_home(
    folder: NetworkFolder, name: str, *, ledger: str | None, price_units: int = 0
) -> None:
    """Write a process's `node.toml`, or have the one that is there follow the ledger.

    Args:
        folder: The network's.
        name: Which process.
        ledger: The ledger's endpoint; None for the ledger itself.
        price_units: What a new inference node asks for an answer.

    Raises:
        Refusal: `config.*`, `key.*`.
        Fault: `config.unwritable`, `config.unreadable`.
    """
    home = folder.get_home(name)
    exists = (home / "node.toml").exists()
    if ledger is None or name == LEDGER:
        if not exists:
            write_config(home, FullConfig(block_interval_ms=folder.block_interval_ms))
        return
    config: GatewayConfig | InferenceConfig
    if exists:
        # One call a kind: `load_config` returns the kind that it is asked for.
        config = (
            load_config(home, GatewayConfig)
            if name == GATEWAY
            else load_config(home, InferenceConfig)
        )
        change_config(home, msgspec.structs.replace(config, ledger=ledger))
    else:
        operator = address_to_hex(folder.load_account(name).address)
        config = (
            GatewayConfig(operator=operator, ledger=ledger)
            if name == GATEWAY
            else InferenceConfig(operator=operator, ledger=ledger, price_units=price_units)
        )
        write_config(home, config)


def list_classes(home: Path, manifest: Manifest) -> tuple[ArithmeticClass, ...]:
    """List the classes in which an inference node is to offer a package (`EXACT-1`).

    Raises:
        Refusal: `config.*`.
        Fault: `config.unreadable`.
    """
    wanted = load_config(home, InferenceConfig).arithmetic
    has = {"float": manifest.text is None, "exact": manifest.canonical is not None}
    return tuple(one for one in wanted if has[one])
