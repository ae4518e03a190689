"""What CometBFT v0.38 hashes and signs, byte for byte (`LIGHT-1`).

Protocol Buffers in its canonical form: fields in order, default values left out, embedded
messages that cannot be null always there. Trees are RFC 6962's. Every encoding here is held to
recorded ones in `vectors/cometbft`. Must not know which of it is to be believed.
"""

from __future__ import annotations

from typing import Final

from probatum.consensus.cometbft.varints import append_varint
from probatum.protocol.commits import (
    NIL,
    BlockId,
    Commit,
    CommitVote,
    EngineHeader,
    EngineTime,
    Validator,
)
from probatum.protocol.merkle import compute_root, leaf_hash
from probatum.protocol.primitives import Digest

__all__ = [
    "compute_commit_hash",
    "compute_engine_hash",
    "compute_validators_hash",
    "encode_header_fields",
    "encode_validator",
    "encode_vote",
    "make_sign_bytes",
]

_VARINT: Final = 0
_SFIXED64: Final = 1
_BYTES: Final = 2
_PRECOMMIT: Final = 2
_U64: Final = (1 << 64) - 1


def _number(field: int, value: int) -> bytes:
    """A number as a varint, nothing for zero; below zero as 64 bits of two's complement."""
    if not value:
        return b""
    out = bytearray((field << 3 | _VARINT,))
    append_varint(out, value & _U64)
    return bytes(out)


def _fixed(field: int, value: int) -> bytes:
    if not value:
        return b""
    return bytes((field << 3 | _SFIXED64,)) + value.to_bytes(8, "little", signed=True)


def _embed(field: int, message: bytes) -> bytes:
    """A message that cannot be null: there even if it is empty."""
    out = bytearray((field << 3 | _BYTES,))
    append_varint(out, len(message))
    return bytes(out) + message


def _bytes(field: int, value: bytes) -> bytes:
    return _embed(field, value) if value else b""


def _encode_time(time: EngineTime) -> bytes:
    return _number(1, time.seconds) + _number(2, time.nanos)


def _encode_block_id(block: BlockId) -> bytes:
    parts = _number(1, block.parts) + _bytes(2, block.parts_hash)
    return _bytes(1, block.hash) + _embed(2, parts)


def encode_header_fields(header: EngineHeader) -> tuple[bytes, ...]:
    """Encode a header's fourteen fields, which are the leaves of its hash."""
    return (
        _number(1, header.block_version) + _number(2, header.app_version),
        _bytes(1, header.chain_id.encode()),
        _number(1, header.height),
        _encode_time(header.time),
        _encode_block_id(header.last_block),
        _bytes(1, header.last_commit_hash),
        _bytes(1, header.data_hash),
        _bytes(1, header.validators_hash),
        _bytes(1, header.next_validators_hash),
        _bytes(1, header.consensus_hash),
        _bytes(1, header.app_hash),
        _bytes(1, header.last_results_hash),
        _bytes(1, header.evidence_hash),
        _bytes(1, header.proposer),
    )


def encode_validator(validator: Validator) -> bytes:
    """Encode a validator, a leaf of its set's hash: an Ed25519 key and its power."""
    return _embed(1, _embed(1, validator.key)) + _number(2, validator.power)


def encode_vote(vote: CommitVote) -> bytes:
    """Encode a vote, a leaf of its commit's hash."""
    return (
        _number(1, vote.flag)
        + _bytes(2, vote.validator)
        + _embed(3, _encode_time(vote.time))
        + _bytes(4, vote.signature)
    )


def make_sign_bytes(chain_id: str, commit: Commit, vote: CommitVote) -> bytes:
    """Make what a validator signed: its precommit, for the commit's block or, if nil, for none."""
    message = (
        _number(1, _PRECOMMIT)
        + _fixed(2, commit.height)
        + _fixed(3, commit.round)
        + (b"" if vote.flag == NIL else _embed(4, _encode_block_id(commit.block)))
        + _embed(5, _encode_time(vote.time))
        + _bytes(6, chain_id.encode())
    )
    out = bytearray()
    append_varint(out, len(message))
    return bytes(out) + message


def _hash_leaves(leaves: tuple[bytes, ...]) -> Digest:
    return compute_root([leaf_hash(leaf) for leaf in leaves])


def compute_engine_hash(header: EngineHeader) -> Digest:
    """Compute the hash of a header, by which votes name its block."""
    return _hash_leaves(encode_header_fields(header))


def compute_validators_hash(validators: tuple[Validator, ...]) -> Digest:
    """Compute the hash of a set, in the engine's order."""
    return _hash_leaves(tuple(encode_validator(validator) for validator in validators))


def compute_commit_hash(commit: Commit) -> Digest:
    """Compute the hash of a commit as the next header may cite it."""
    return _hash_leaves(tuple(encode_vote(vote) for vote in commit.votes))
