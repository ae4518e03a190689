"""CometBFT's RPC answers as values: ``/commit`` and ``/validators``, strictly and bounded.

The engine writes 64-bit numbers as text, hashes in upper-case hex, keys and signatures in base64,
times by RFC 3339 with as many decimals as needed. Nothing here is believed yet: `commits` and
`states` check it. Must not know where the bytes come from.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.commits import (
    BlockId,
    Commit,
    CommitVote,
    EngineHeader,
    EngineTime,
    Validator,
)

__all__ = ["ANSWER_BYTES", "HASH_FIELDS", "read_commit", "read_validators"]

ANSWER_BYTES: Final = 512 * limits.KIB
"""An answer of either kind about `limits.VALIDATORS` validators is shorter."""

HASH_FIELDS: Final = (
    "last_commit_hash",
    "data_hash",
    "validators_hash",
    "next_validators_hash",
    "consensus_hash",
    "app_hash",
    "last_results_hash",
    "evidence_hash",
)
"""What a header says in hashes, by the same names here and there."""

V = TypeVar("V")
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class _Version(msgspec.Struct):
    block: str
    app: str = "0"


class _Parts(msgspec.Struct):
    total: int
    hash: str


class _BlockId(msgspec.Struct):
    hash: str
    parts: _Parts


class _Header(msgspec.Struct):
    version: _Version
    chain_id: str
    height: str
    time: str
    last_block_id: _BlockId
    last_commit_hash: str
    data_hash: str
    validators_hash: str
    next_validators_hash: str
    consensus_hash: str
    app_hash: str
    last_results_hash: str
    evidence_hash: str
    proposer_address: str


class _Vote(msgspec.Struct):
    block_id_flag: int
    validator_address: str
    timestamp: str
    signature: str | None


class _Commit(msgspec.Struct):
    height: str
    round: int
    block_id: _BlockId
    signatures: list[_Vote]


class _Signed(msgspec.Struct):
    header: _Header
    commit: _Commit


class _CommitAnswer(msgspec.Struct):
    signed_header: _Signed


class _Key(msgspec.Struct):
    type: str
    value: str


class _Validator(msgspec.Struct):
    pub_key: _Key
    voting_power: str


class _ValidatorsAnswer(msgspec.Struct):
    block_height: str
    validators: list[_Validator]
    total: str


def _bad(why: str) -> Refusal:
    return Refusal("light.bad-answer", f"not an answer of CometBFT: {why:.200}")


def _decode(kind: type[V], data: bytes) -> V:
    if len(data) > ANSWER_BYTES:
        raise _bad(f"{len(data)} bytes")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _bad(str(error)) from None


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise _bad(f"{text!r} where a number is due")
    return int(text)


def _hex(text: str) -> bytes:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if data.hex().upper() != text:
        raise _bad(f"{text!r} where upper-case hex is due")
    return data


def _base64(text: str) -> bytes:
    try:
        return b64decode(text.encode("ascii"), validate=True)
    except (Base64Error, UnicodeEncodeError):
        raise _bad(f"{text!r} where base64 is due") from None


def _time(text: str) -> EngineTime:
    found = _TIME.fullmatch(text)
    try:
        whole = datetime.fromisoformat(f"{found[1]}+00:00") if found else None
    except ValueError:
        whole = None
    if found is None or whole is None:
        raise _bad(f"{text!r} where a time is due")
    span = whole - _EPOCH
    nanos = int((found[2] or "").ljust(9, "0"))
    return EngineTime(seconds=span.days * 86_400 + span.seconds, nanos=nanos)


def _block_id(found: _BlockId) -> BlockId:
    return BlockId(
        hash=_hex(found.hash), parts=found.parts.total, parts_hash=_hex(found.parts.hash)
    )


def _hold(value: V) -> V:
    """Hold a value to its own bounds, which making it does not."""
    try:
        held: V = msgspec.convert(msgspec.to_builtins(value), type(value))
    except msgspec.ValidationError as error:
        raise _bad(str(error)) from None
    return held


def _fields(found: _Header) -> dict[str, Any]:
    return {name: _hex(getattr(found, name)) for name in HASH_FIELDS}


def read_commit(data: bytes) -> tuple[EngineHeader, Commit]:
    """Read the ``result`` of ``/commit``: a header and the votes that decided it.

    Raises:
        Refusal: `light.bad-answer`.
    """
    signed = _decode(_CommitAnswer, data).signed_header
    header = EngineHeader(
        block_version=_number(signed.header.version.block),
        app_version=_number(signed.header.version.app),
        chain_id=signed.header.chain_id,
        height=_number(signed.header.height),
        time=_time(signed.header.time),
        last_block=_block_id(signed.header.last_block_id),
        proposer=_hex(signed.header.proposer_address),  # type: ignore[arg-type]  # held below
        **_fields(signed.header),
    )
    commit = Commit(
        height=_number(signed.commit.height),
        round=signed.commit.round,
        block=_block_id(signed.commit.block_id),
        votes=tuple(
            CommitVote(
                flag=vote.block_id_flag,  # type: ignore[arg-type]  # held below
                validator=_hex(vote.validator_address),
                time=_time(vote.timestamp),
                signature=_base64(vote.signature or ""),
            )
            for vote in signed.commit.signatures
        ),
    )
    return _hold(header), _hold(commit)


def read_validators(data: bytes) -> tuple[int, tuple[Validator, ...], int]:
    """Read the ``result`` of ``/validators``, one page of it.

    Returns:
        The height, the validators of this page in the engine's order, and how many there are.

    Raises:
        Refusal: `light.bad-answer`.
    """
    found = _decode(_ValidatorsAnswer, data)
    validators = []
    for one in found.validators:
        if one.pub_key.type != "tendermint/PubKeyEd25519":
            raise _bad(f"a key of type {one.pub_key.type!r}")
        key = _base64(one.pub_key.value)
        power = _number(one.voting_power)
        validators.append(_hold(Validator(key=key, power=power)))  # type: ignore[arg-type]
    return _number(found.block_height), tuple(validators), _number(found.total)
