"""The tables of what ABCI messages are made of: one for each value of `parts`.

Numbers are those of ``tendermint/abci/types.proto`` and ``tendermint/types/params.proto`` in
CometBFT v0.38. Read `schema` next.
"""

from __future__ import annotations

from typing import Final

from probatum.consensus.cometbft import parts as p
from probatum.consensus.cometbft.table import Field, Kind, Schema

__all__ = [
    "ABCI_PARAMS",
    "ATTRIBUTE",
    "BLOCK_PARAMS",
    "COMMIT",
    "CONSENSUS_PARAMS",
    "DURATION",
    "EVENT",
    "EVIDENCE_PARAMS",
    "EXTENDED_COMMIT",
    "EXTENDED_VOTE",
    "MISBEHAVIOR",
    "PROOF_OP",
    "PROOF_OPS",
    "PUBLIC_KEY",
    "RESULT_FIELDS",
    "SNAPSHOT",
    "TIMESTAMP",
    "TX_RESULT",
    "VALIDATOR",
    "VALIDATOR_PARAMS",
    "VALIDATOR_UPDATE",
    "VERSION_PARAMS",
    "VOTE",
]

BOOL, BYTES, STRING = Kind.BOOL, Kind.BYTES, Kind.STRING
INT32, INT64, UINT32, UINT64 = Kind.INT32, Kind.INT64, Kind.UINT32, Kind.UINT64

TIMESTAMP: Final = Schema(p.Timestamp, Field(1, "seconds", INT64), Field(2, "nanos", INT32))
DURATION: Final = Schema(p.Duration, Field(1, "seconds", INT64), Field(2, "nanos", INT32))
BLOCK_PARAMS: Final = Schema(
    p.BlockParams, Field(1, "max_bytes", INT64), Field(2, "max_gas", INT64)
)
EVIDENCE_PARAMS: Final = Schema(
    p.EvidenceParams,
    Field(1, "max_age_num_blocks", INT64),
    Field(2, "max_age_duration", DURATION),
    Field(3, "max_bytes", INT64),
)
VALIDATOR_PARAMS: Final = Schema(p.ValidatorParams, Field(1, "pub_key_types", STRING, many=True))
VERSION_PARAMS: Final = Schema(p.VersionParams, Field(1, "app", UINT64))
ABCI_PARAMS: Final = Schema(p.ABCIParams, Field(1, "vote_extensions_enable_height", INT64))
CONSENSUS_PARAMS: Final = Schema(
    p.ConsensusParams,
    Field(1, "block", BLOCK_PARAMS, may_lack=True),
    Field(2, "evidence", EVIDENCE_PARAMS, may_lack=True),
    Field(3, "validator", VALIDATOR_PARAMS, may_lack=True),
    Field(4, "version", VERSION_PARAMS, may_lack=True),
    Field(5, "abci", ABCI_PARAMS, may_lack=True),
)
PUBLIC_KEY: Final = Schema(
    p.PublicKey,
    Field(1, "ed25519", BYTES, any_of=True),
    Field(2, "secp256k1", BYTES, any_of=True),
)
VALIDATOR: Final = Schema(p.Validator, Field(1, "address", BYTES), Field(3, "power", INT64))
VALIDATOR_UPDATE: Final = Schema(
    p.ValidatorUpdate, Field(1, "pub_key", PUBLIC_KEY), Field(2, "power", INT64)
)
VOTE: Final = Schema(p.VoteInfo, Field(1, "validator", VALIDATOR), Field(3, "block_id_flag", INT32))
EXTENDED_VOTE: Final = Schema(
    p.ExtendedVoteInfo,
    Field(1, "validator", VALIDATOR),
    Field(3, "vote_extension", BYTES),
    Field(4, "extension_signature", BYTES),
    Field(5, "block_id_flag", INT32),
)
COMMIT: Final = Schema(p.CommitInfo, Field(1, "round", INT32), Field(2, "votes", VOTE, many=True))
EXTENDED_COMMIT: Final = Schema(
    p.ExtendedCommitInfo, Field(1, "round", INT32), Field(2, "votes", EXTENDED_VOTE, many=True)
)
MISBEHAVIOR: Final = Schema(
    p.Misbehavior,
    Field(1, "type", INT32),
    Field(2, "validator", VALIDATOR),
    Field(3, "height", INT64),
    Field(4, "time", TIMESTAMP),
    Field(5, "total_voting_power", INT64),
)
ATTRIBUTE: Final = Schema(
    p.EventAttribute, Field(1, "key", STRING), Field(2, "value", STRING), Field(3, "index", BOOL)
)
EVENT: Final = Schema(
    p.Event, Field(1, "type", STRING), Field(2, "attributes", ATTRIBUTE, many=True)
)
RESULT_FIELDS: Final = (
    Field(1, "code", UINT32),
    Field(2, "data", BYTES),
    Field(3, "log", STRING),
    Field(4, "info", STRING),
    Field(5, "gas_wanted", INT64),
    Field(6, "gas_used", INT64),
    Field(7, "events", EVENT, many=True),
    Field(8, "codespace", STRING),
)
TX_RESULT: Final = Schema(p.ExecTxResult, *RESULT_FIELDS)
SNAPSHOT: Final = Schema(
    p.Snapshot,
    Field(1, "height", UINT64),
    Field(2, "format", UINT32),
    Field(3, "chunks", UINT32),
    Field(4, "hash", BYTES),
    Field(5, "metadata", BYTES),
)
PROOF_OP: Final = Schema(
    p.ProofOp, Field(1, "type", STRING), Field(2, "key", BYTES), Field(3, "data", BYTES)
)
PROOF_OPS: Final = Schema(p.ProofOps, Field(1, "ops", PROOF_OP, many=True))
