"""What a wallet signs: EIP-712 hashing of flat structs, the only shape that Probatum signs.

The domain binds chain id and genesis hash (as the salt), so a transaction of one network is worth
nothing on another. Written here because no kept library hashes fixed types without the wallet
around it; `eth-account` is the oracle in the tests. Must not know any transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from probatum.errors import Misuse, Refusal
from probatum.protocol.hashing import keccak256
from probatum.protocol.primitives import Digest

__all__ = ["Domain", "Field", "Value", "compute_signing_digest", "typed_data"]

Value: TypeAlias = int | bool | str | bytes | tuple[str, ...] | tuple[bytes, ...]
"""What a field can hold; the EIP-712 type beside it says which."""
Field: TypeAlias = tuple[str, str, Value]
"""A field's name, its EIP-712 type and its value."""

_NAME: Final = "Probatum"
_VERSION: Final = "1"
_DOMAIN_FIELDS: Final = (
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("salt", "bytes32"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """Which network a signature is for.

    Attributes:
        chain_id: The number that wallets show.
        genesis_hash: The genesis document's digest: two networks never share it.
    """

    chain_id: int
    genesis_hash: Digest


def _bad(eip_type: str, value: object) -> Refusal:
    return Refusal("eip712.bad-value", f"not a value of type {eip_type}: {str(value)[:60]!r}")


def _word_of_uint(bits: int) -> Callable[[Any], bytes]:
    def encode(value: Any) -> bytes:
        if type(value) is not int or value < 0 or value >> bits:
            raise _bad(f"uint{bits}", value)
        return value.to_bytes(32, "big")

    return encode


def _word_of_bool(value: Any) -> bytes:
    if type(value) is not bool:
        raise _bad("bool", value)
    return value.to_bytes(32, "big")


def _word_of_address(value: Any) -> bytes:
    if type(value) is not bytes or len(value) != 20:
        raise _bad("address", value)
    return b"\0" * 12 + value


def _word_of_bytes32(value: Any) -> bytes:
    if type(value) is not bytes or len(value) != 32:
        raise _bad("bytes32", value)
    return value


def _word_of_bytes(value: Any) -> bytes:
    if type(value) is not bytes:
        raise _bad("bytes", value)
    return keccak256(value)


def _word_of_string(value: Any) -> bytes:
    if type(value) is not str:
        raise _bad("string", value)
    try:
        return keccak256(value.encode())
    except UnicodeEncodeError:
        raise _bad("string", value.encode("utf-8", "replace")) from None


def _word_of_array(element: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    def encode(value: Any) -> bytes:
        if type(value) is not tuple:
            raise _bad("array", value)
        return keccak256(b"".join(map(element, value)))

    return encode


_WORDS: Final[Mapping[str, Callable[[Any], bytes]]] = MappingProxyType(
    {
        "address": _word_of_address,
        "bool": _word_of_bool,
        "bytes": _word_of_bytes,
        "bytes32": _word_of_bytes32,
        "bytes32[]": _word_of_array(_word_of_bytes32),
        "bytes[]": _word_of_array(_word_of_bytes),
        "string": _word_of_string,
        "string[]": _word_of_array(_word_of_string),
        "uint64": _word_of_uint(64),
        "uint256": _word_of_uint(256),
    }
)


# Types come from this project's code, never from a peer; the bound is a safeguard all the same.
@lru_cache(maxsize=256)
def _type_hash(type_name: str, shape: tuple[tuple[str, str], ...]) -> bytes:
    for name, eip_type in shape:
        if eip_type not in _WORDS:
            raise Misuse("eip712.unknown-type", f"field {name} has the type {eip_type}")
    return keccak256(f"{type_name}({','.join(f'{t} {n}' for n, t in shape)})".encode("ascii"))


@lru_cache(maxsize=16)
def _separator(domain: Domain) -> bytes:
    return keccak256(
        _type_hash("EIP712Domain", _DOMAIN_FIELDS)
        + _word_of_string(_NAME)
        + _word_of_string(_VERSION)
        + _WORDS["uint256"](domain.chain_id)
        + _word_of_bytes32(domain.genesis_hash)
    )


def compute_signing_digest(domain: Domain, type_name: str, fields: tuple[Field, ...]) -> bytes:
    """Compute the 32 bytes that an account signs: ``keccak(0x1901 ‖ domain ‖ struct)``.

    Args:
        domain: The network.
        type_name: The struct's name, as the wallet shows it.
        fields: Name, type and value of every field, in the struct's fixed order.

    Raises:
        Refusal: `eip712.bad-value` if a value is not of its type.
        Misuse: `eip712.unknown-type`.
    """
    words = [_type_hash(type_name, tuple([(name, eip_type) for name, eip_type, _ in fields]))]
    words += [_WORDS[eip_type](value) for _, eip_type, value in fields]
    return keccak256(b"\x19\x01" + _separator(domain) + keccak256(b"".join(words)))


def _json_value(value: Value) -> object:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, tuple):
        return [_json_value(item) for item in value]
    return value


def typed_data(domain: Domain, type_name: str, fields: tuple[Field, ...]) -> dict[str, Any]:
    """Describe the same message for a wallet: the object of ``eth_signTypedData_v4``.

    Args:
        domain: The network.
        type_name: The struct's name.
        fields: As for `compute_signing_digest`.
    """
    return {
        "types": {
            "EIP712Domain": [{"name": name, "type": kind} for name, kind in _DOMAIN_FIELDS],
            type_name: [{"name": name, "type": kind} for name, kind, _ in fields],
        },
        "primaryType": type_name,
        "domain": {
            "name": _NAME,
            "version": _VERSION,
            "chainId": domain.chain_id,
            "salt": "0x" + domain.genesis_hash.hex(),
        },
        "message": {name: _json_value(value) for name, _, value in fields},
    }
