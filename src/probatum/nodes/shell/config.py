"""A node's home and its one configuration file, read once into frozen values.

``<home>/node.toml`` says what a node is; beside it lie ``keys/`` (`keys`), ``journal``
(`journal`), ``ledger.sqlite``, ``packages/``, ``trust.json`` and ``genesis.json``, as far as the
role has them. Environment variables configure nothing. Must not know machines.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from probatum.errors import Fault, Refusal
from probatum.nodes.shell.api_keys import AtOnce, Rate
from probatum.nodes.shell.keys import load_account_key, load_operating_key
from probatum.protocol import limits
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.hexes import HexAddress, HexDigest
from probatum.protocol.parties import Endpoint
from probatum.protocol.primitives import Amount
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.trust import Trust, decode_trust

__all__ = [
    "FullConfig",
    "GatewayConfig",
    "InferenceConfig",
    "NodeConfig",
    "load_config",
    "load_node_key",
    "load_payer_key",
    "load_trust",
    "read_small_file",
    "write_config",
]

_CONFIG_BYTES: Final = 64 * limits.KIB
_Blocks = Annotated[int, Meta(ge=1, le=1_000_000)]
_Patience = Annotated[int, Meta(ge=50, le=3_600_000)]


class NodeConfig(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="role"
):
    """What every role's file says.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        endpoint: How others reach the node, if not at that host and port.
    """

    host: Annotated[str, Meta(min_length=1, max_length=255)] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 0
    endpoint: Endpoint | None = None


class FullConfig(NodeConfig, frozen=True, kw_only=True, tag="full"):
    """A full node's file; `genesis.json` and the engine's operating key lie beside it."""

    block_interval_ms: _Patience = 1_000


class InferenceConfig(NodeConfig, frozen=True, kw_only=True, tag="inference"):
    """An inference node's file.

    Attributes:
        operator: The account that registered the node.
        ledger: The full node that it follows.
        price_units: Price of its offers.
        fee_units: Fee of each of its transactions, paid by ``keys/account.json``.
        settle_every_blocks: Blocks between two settlements.
        threads: Requests computed side by side.
        serve: Digests of the packages to serve; absent for all under ``packages/``.
    """

    operator: HexAddress
    ledger: Endpoint
    price_units: Amount = 0
    fee_units: Amount = 1_000
    settle_every_blocks: _Blocks = 2
    threads: Annotated[int, Meta(ge=1, le=256)] = 1
    serve: Annotated[tuple[HexDigest, ...], Meta(max_length=1_024)] | None = None


class GatewayConfig(NodeConfig, frozen=True, kw_only=True, tag="gateway"):
    """A gateway's file.

    Attributes:
        operator: The account that registered the gateway.
        ledger: The full node that it follows.
        request_timeout_ms: Longest time for one request.
        accept_timeout_ms: A node that has not accepted after this is passed by.
        branch_timeout_ms: A node that has not answered after this is passed by.
        request_bytes: Body of one request.
        held_bytes: Bodies of all requests that are answered, together.
        requests_at_once: Requests answered at one time; one more is refused as busy.
        anonymous: Whether anybody may ask, or only who has an API key.
        anonymous_per_s: Requests a second of one address without a key; absent for no limit.
        anonymous_at_once: Requests at one time of one address without a key; ditto.
    """

    operator: HexAddress
    ledger: Endpoint
    request_timeout_ms: _Patience = 30_000
    accept_timeout_ms: _Patience = 2_000
    branch_timeout_ms: _Patience = 10_000
    request_bytes: Annotated[int, Meta(ge=limits.KIB, le=limits.REQUEST_BYTES)] = (
        limits.REQUEST_BYTES
    )
    held_bytes: Annotated[int, Meta(ge=limits.MIB, le=1 << 40)] = 512 * limits.MIB
    requests_at_once: AtOnce = 1_024
    anonymous: bool = True
    anonymous_per_s: Rate | None = None
    anonymous_at_once: AtOnce | None = None


_C = TypeVar("_C", FullConfig, InferenceConfig, GatewayConfig)


def load_config(home: Path, kind: type[_C]) -> _C:
    """Load ``node.toml`` of one role.

    Raises:
        Refusal: `config.missing`, `config.malformed`.
        Fault: `config.unreadable`.
    """
    path = home / "node.toml"
    data = read_small_file(path, limit_bytes=_CONFIG_BYTES)
    try:
        return msgspec.convert(tomllib.loads(data.decode()), kind, strict=True)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise Refusal(
            "config.malformed",
            f"{path}: {error}",
            hint="docs/operating describes every setting",
        ) from None


def write_config(home: Path, config: FullConfig | InferenceConfig | GatewayConfig) -> None:
    """Write ``node.toml``, replacing what is there; absent settings keep their defaults.

    Raises:
        Fault: `config.unwritable`.
    """
    values = msgspec.to_builtins(config)
    lines = [
        f"{name} = {_write_value(value)}" for name, value in values.items() if value is not None
    ]
    fresh = home / "node.toml.new"
    try:
        fresh.write_text("\n".join(lines) + "\n", encoding="utf-8")
        fresh.replace(home / "node.toml")
    except OSError as error:
        raise Fault("config.unwritable", f"cannot write {fresh}: {error.strerror}") from None


def load_trust(home: Path) -> Trust:
    """Load ``trust.json``. Raises Refusal `config.missing`, `encoding.*`."""
    return decode_trust(read_small_file(home / "trust.json", limit_bytes=limits.TRUST_BYTES))


def load_node_key(home: Path) -> OperatingSigner:
    """Load ``keys/operating.json``; see `keys.load_operating_key`."""
    return load_operating_key(home / "keys" / "operating.json")


def load_payer_key(home: Path) -> AccountSigner:
    """Load ``keys/account.json``; see `keys.load_account_key`."""
    return load_account_key(home / "keys" / "account.json")


def read_small_file(path: Path, *, limit_bytes: int) -> bytes:
    """Read a file of bounded size.

    Raises:
        Refusal: `config.missing`, `config.malformed` if it is too large.
        Fault: `config.unreadable`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit_bytes + 1)
    except FileNotFoundError:
        raise Refusal(
            "config.missing", f"there is no {path}", hint="name a node's home folder"
        ) from None
    except OSError as error:
        raise Fault("config.unreadable", f"cannot read {path}: {error.strerror}") from None
    if len(data) > limit_bytes:
        raise Refusal("config.malformed", f"{path} has more than {limit_bytes} bytes")
    return data


def _write_value(value: str | float | list[str]) -> str:
    # JSON's strings, numbers and arrays of strings are TOML's too.
    return msgspec.json.encode(value).decode()
