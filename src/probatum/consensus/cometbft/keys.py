"""The engine's key files, in CometBFT's own form: a validator's consensus key, a node's name.

Two keys that are nobody else's: the consensus key votes (two votes for one height cost stake), the
node key names the engine to its peers. Must not know where files lie or who may read them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from probatum.errors import Refusal
from probatum.protocol.ed25519 import OperatingSigner

__all__ = [
    "ENGINE_KEY_BYTES",
    "START_STATE",
    "check_vote_state",
    "compute_node_id",
    "decode_node_key",
    "decode_validator_key",
    "encode_node_key",
    "encode_validator_key",
]

ENGINE_KEY_BYTES: Final = 4_096
"""A key file is a few hundred bytes."""
START_STATE: Final = b'{\n  "height": "0",\n  "round": 0,\n  "step": 0\n}\n'
"""What a validator has voted for at the start (``priv_validator_state.json``): nothing. It guards
against double signing, so it is never wound back while the key is in use."""

_K = TypeVar("_K", bound=Struct)


class _Public(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    type: Literal["tendermint/PubKeyEd25519"]
    value: str


class _Secret(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    type: Literal["tendermint/PrivKeyEd25519"]
    value: str


class _ValidatorKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    address: str
    pub_key: _Public
    priv_key: _Secret


class _NodeKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    priv_key: _Secret


class _VoteState(Struct, frozen=True, kw_only=True):
    height: Annotated[str, Meta(pattern=r"^[0-9]{1,19}\Z")]
    round: Annotated[int, Meta(ge=0, lt=1 << 31)]
    step: Annotated[int, Meta(ge=0, le=3)]


def compute_node_id(signer: OperatingSigner) -> str:
    """Compute how peers name an engine with this node key: 40 hex digits."""
    return hashlib.sha256(signer.key).hexdigest()[:40]


def encode_validator_key(signer: OperatingSigner) -> bytes:
    """Encode ``priv_validator_key.json``."""
    return _format(
        _ValidatorKey(
            address=compute_node_id(signer).upper(),
            pub_key=_Public(type="tendermint/PubKeyEd25519", value=_to_text(signer.key)),
            priv_key=_encode_secret(signer),
        )
    )


def encode_node_key(signer: OperatingSigner) -> bytes:
    """Encode ``node_key.json``."""
    return _format(_NodeKey(priv_key=_encode_secret(signer)))


def decode_validator_key(data: bytes) -> OperatingSigner:
    """Decode ``priv_validator_key.json``.

    Raises:
        Refusal: `engine.bad-key` if it is malformed, or its parts do not belong together.
    """
    file = _decode(data, _ValidatorKey)
    signer = _decode_secret(file.priv_key)
    if file != msgspec.json.decode(encode_validator_key(signer), type=_ValidatorKey):
        raise _refuse("its public part is not its secret's")
    return signer


def decode_node_key(data: bytes) -> OperatingSigner:
    """Decode ``node_key.json``. Raises Refusal `engine.bad-key`."""
    return _decode_secret(_decode(data, _NodeKey).priv_key)


def check_vote_state(data: bytes) -> None:
    """Check that ``priv_validator_state.json`` says what was voted for last.

    Raises:
        Refusal: `engine.unknown-votes`.
    """
    try:
        msgspec.json.decode(data, type=_VoteState, strict=True)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Refusal("engine.unknown-votes", f"what was voted for is not known: {error}") from None


def _encode_secret(signer: OperatingSigner) -> _Secret:
    return _Secret(type="tendermint/PrivKeyEd25519", value=_to_text(signer.seed + signer.key))


def _decode_secret(secret: _Secret) -> OperatingSigner:
    try:
        both = base64.b64decode(secret.value, validate=True)
    except (binascii.Error, ValueError):
        both = b""
    if len(both) != 64:
        raise _refuse("its secret is not 64 bytes in base64")
    signer = OperatingSigner(both[:32])
    if signer.key != both[32:]:
        raise _refuse("its public part is not its secret's")
    return signer


def _to_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _format(file: _ValidatorKey | _NodeKey) -> bytes:
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"


def _decode(data: bytes, kind: type[_K]) -> _K:
    try:
        if len(data) > ENGINE_KEY_BYTES:
            raise _refuse("it is too large")
        return msgspec.json.decode(data, type=kind, strict=True)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise _refuse("it is not in CometBFT's form, or not for Ed25519") from None


def _refuse(why: str) -> Refusal:
    return Refusal(
        "engine.bad-key", f"not a key file of CometBFT: {why}", hint="restore it from a backup"
    )
