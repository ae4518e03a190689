"""Evidence in the words of CometBFT's RPC: the other way of `answers`.

64-bit numbers as text, hashes in upper-case hex, keys and signatures in base64, times by RFC 3339
without zeros at the end. Must not know whether the evidence holds (`attacks`).
"""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from probatum.consensus.cometbft.light.answers import HASH_FIELDS
from probatum.consensus.cometbft.light.attacks import Attack
from probatum.protocol.commits import (
    BlockId,
    Commit,
    CommitVote,
    EngineHeader,
    EngineTime,
    Validator,
)
from probatum.protocol.validators import compute_consensus_address

__all__ = ["write_attack"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def write_attack(attack: Attack) -> dict[str, Any]:
    """Write evidence as ``broadcast_evidence`` takes it."""
    seal = attack.seal
    validators = [_validator(one) for one in seal.validators]
    block = {
        "signed_header": {"header": _header(seal.header), "commit": _commit(seal.commit)},
        # Whose turn it was to propose is checked by nobody, but somebody must be named.
        "validator_set": {"validators": validators, "proposer": validators[0]},
    }
    return {
        "type": "tendermint/LightClientAttackEvidence",
        "value": {
            "ConflictingBlock": block,
            "CommonHeight": str(attack.common_height),
            "ByzantineValidators": [_validator(one) for one in attack.convicted],
            "TotalVotingPower": str(attack.total_power),
            "Timestamp": _time(attack.common_time),
        },
    }


def _hex(data: bytes) -> str:
    return data.hex().upper()


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def _time(time: EngineTime) -> str:
    whole = (_EPOCH + timedelta(seconds=time.seconds)).strftime("%Y-%m-%dT%H:%M:%S").zfill(19)
    rest = f".{time.nanos:09}".rstrip("0").rstrip(".")
    return f"{whole}{rest}Z"


def _block_id(block: BlockId) -> dict[str, Any]:
    parts = {"total": block.parts, "hash": _hex(block.parts_hash)}
    return {"hash": _hex(block.hash), "parts": parts}


def _header(header: EngineHeader) -> dict[str, Any]:
    return {
        "version": {"block": str(header.block_version), "app": str(header.app_version)},
        "chain_id": header.chain_id,
        "height": str(header.height),
        "time": _time(header.time),
        "last_block_id": _block_id(header.last_block),
        **{name: _hex(getattr(header, name)) for name in HASH_FIELDS},
        "proposer_address": _hex(header.proposer),
    }


def _vote(vote: CommitVote) -> dict[str, Any]:
    return {
        "block_id_flag": vote.flag,
        "validator_address": _hex(vote.validator),
        "timestamp": _time(vote.time),
        "signature": _base64(vote.signature) if vote.signature else None,
    }


def _commit(commit: Commit) -> dict[str, Any]:
    return {
        "height": str(commit.height),
        "round": commit.round,
        "block_id": _block_id(commit.block),
        "signatures": [_vote(vote) for vote in commit.votes],
    }


def _validator(validator: Validator) -> dict[str, Any]:
    return {
        "address": _hex(compute_consensus_address(validator.key)),
        "pub_key": {"type": "tendermint/PubKeyEd25519", "value": _base64(validator.key)},
        "voting_power": str(validator.power),
        "proposer_priority": "0",
    }
