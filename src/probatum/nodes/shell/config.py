"""A node's home and its one configuration file, read once into frozen values.

``<home>/node.toml`` says what a node is; beside it lie ``keys/`` (`keys`), ``journal``
(`journal`), ``ledger.sqlite``, ``packages/``, ``trust.json`` and ``genesis.json``, as far as the
role has them. Environment variables configure nothing. Must not know machines.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias, TypeVar

from probatum.errors import Fault, Refusal
from probatum.nodes.shell.config_text import change_text, decode_text, encode_text
from probatum.nodes.shell.gateway_settings import GatewayConfig
from probatum.nodes.shell.keys import load_account_key, load_operating_key
from probatum.nodes.shell.node_settings import FullConfig, InferenceConfig, NodeConfig
from probatum.protocol import limits
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.trust import Trust, decode_trust

__all__ = [
    "AnyConfig",
    "FullConfig",
    "GatewayConfig",
    "InferenceConfig",
    "NodeConfig",
    "change_config",
    "load_any_config",
    "load_config",
    "load_node_key",
    "load_payer_key",
    "load_trust",
    "read_small_file",
    "write_config",
]

AnyConfig: TypeAlias = FullConfig | InferenceConfig | GatewayConfig
FILE_NAME: Final = "node.toml"
_CONFIG_BYTES: Final = 256 * limits.KIB
_KINDS: Final[Mapping[str, type[AnyConfig]]] = MappingProxyType(
    {"full": FullConfig, "inference": InferenceConfig, "gateway": GatewayConfig}
)
_C = TypeVar("_C", bound=NodeConfig)


def load_config(home: Path, kind: type[_C]) -> _C:
    """Load ``node.toml`` of one role.

    Raises:
        Refusal: `config.missing`, `config.malformed`, `config.other-role`,
            `config.unknown-setting`.
        Fault: `config.unreadable`.
    """
    return _decode(home, _read(home), kind)


def load_any_config(home: Path) -> AnyConfig:
    """Load ``node.toml`` of whatever role it names. Errors as `load_config`."""
    text = _read(home)
    try:
        role = tomllib.loads(text).get("role", "full")
    except tomllib.TOMLDecodeError:
        role = "full"  # whichever: it is refused as it should be
    kind = _KINDS.get(role) if isinstance(role, str) else None
    if kind is None:
        raise Refusal(
            "config.other-role",
            f"{home / FILE_NAME}: there is no role {role!s:.40}",
            hint="role is one of " + ", ".join(_KINDS),
        )
    return _decode(home, text, kind)


def write_config(home: Path, config: AnyConfig) -> None:
    """Write ``node.toml`` anew, with all there is to know of each setting.

    Raises:
        Fault: `config.unwritable`.
    """
    _write(home, encode_text(config))


def change_config(home: Path, config: AnyConfig) -> None:
    """Change what ``node.toml`` says, and leave the rest of its text as people wrote it.

    Raises:
        Refusal: as `load_config`.
        Fault: `config.unwritable`, `config.unreadable`.
    """
    text = _read(home)
    changed = change_text(text, config)
    if changed != text:
        _decode(home, changed, type(config))  # what cannot be read back is not written
        _write(home, changed)


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
        lost = "see that the path is right; if a home has lost it: docs/operating, what runs"
        hint = "name a node's home folder" if path.name == FILE_NAME else lost
        raise Refusal("config.missing", f"there is no {path}", hint=hint) from None
    except OSError as error:
        raise Fault("config.unreadable", f"cannot read {path}: {error.strerror}") from None
    if len(data) > limit_bytes:
        raise Refusal("config.malformed", f"{path} has more than {limit_bytes} bytes")
    return data


def _read(home: Path) -> str:
    path = home / FILE_NAME
    try:
        return read_small_file(path, limit_bytes=_CONFIG_BYTES).decode()
    except UnicodeDecodeError:
        raise Refusal("config.malformed", f"{path} is not UTF-8 text") from None


def _decode(home: Path, text: str, kind: type[_C]) -> _C:
    try:
        return decode_text(text, kind)
    except Refusal as refusal:
        message = f"{home / FILE_NAME}: {refusal.message}"
        raise Refusal(refusal.code, message, hint=refusal.hint) from None


def _write(home: Path, text: str) -> None:
    fresh = home / (FILE_NAME + ".new")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(home / FILE_NAME)
    except OSError as error:
        raise Fault("config.unwritable", f"cannot write {fresh}: {error.strerror}") from None
