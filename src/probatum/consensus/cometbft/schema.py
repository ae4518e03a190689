"""The tables of ABCI 2.0 as CometBFT v0.38 writes it: which field of which value has which number.

One table for each value of `messages`, then the two envelopes that travel: exactly one request, or
one response. Numbers are those of ``tendermint/abci/types.proto``. Whether a message may be left
out follows the engine's own types: what is no pointer in Go is always written. Must not know how
tables are read (`wire`).
"""

from __future__ import annotations

from typing import Any, Final

from probatum.consensus.cometbft import messages as m
from probatum.consensus.cometbft.part_tables import (
    COMMIT,
    CONSENSUS_PARAMS,
    EVENT,
    EXTENDED_COMMIT,
    MISBEHAVIOR,
    PROOF_OPS,
    RESULT_FIELDS,
    SNAPSHOT,
    TIMESTAMP,
    TX_RESULT,
    VALIDATOR_UPDATE,
)
from probatum.consensus.cometbft.table import Field, Kind, Schema

__all__ = ["REQUESTS", "REQUEST_ENVELOPE", "RESPONSES", "RESPONSE_ENVELOPE"]

BOOL, BYTES, STRING = Kind.BOOL, Kind.BYTES, Kind.STRING
INT32, INT64, UINT32, UINT64 = Kind.INT32, Kind.INT64, Kind.UINT32, Kind.UINT64

REQUESTS: Final[tuple[tuple[int, str, Schema[Any]], ...]] = (
    (1, "echo", Schema(m.RequestEcho, Field(1, "message", STRING))),
    (2, "flush", Schema(m.RequestFlush)),
    (
        3,
        "info",
        Schema(
            m.RequestInfo,
            Field(1, "version", STRING),
            Field(2, "block_version", UINT64),
            Field(3, "p2p_version", UINT64),
            Field(4, "abci_version", STRING),
        ),
    ),
    (
        5,
        "init_chain",
        Schema(
            m.RequestInitChain,
            Field(1, "time", TIMESTAMP),
            Field(2, "chain_id", STRING),
            Field(3, "consensus_params", CONSENSUS_PARAMS, may_lack=True),
            Field(4, "validators", VALIDATOR_UPDATE, many=True),
            Field(5, "app_state_bytes", BYTES),
            Field(6, "initial_height", INT64),
        ),
    ),
    (
        6,
        "query",
        Schema(
            m.RequestQuery,
            Field(1, "data", BYTES),
            # The RPC's `path=0x…` may be any bytes, and to refuse one would stop the node.
            Field(2, "path", Kind.LOOSE_STRING),
            Field(3, "height", INT64),
            Field(4, "prove", BOOL),
        ),
    ),
    (8, "check_tx", Schema(m.RequestCheckTx, Field(1, "tx", BYTES), Field(2, "type", INT32))),
    (11, "commit", Schema(m.RequestCommit)),
    (12, "list_snapshots", Schema(m.RequestListSnapshots)),
    (
        13,
        "offer_snapshot",
        Schema(
            m.RequestOfferSnapshot,
            Field(1, "snapshot", SNAPSHOT, may_lack=True),
            Field(2, "app_hash", BYTES),
        ),
    ),
    (
        14,
        "load_snapshot_chunk",
        Schema(
            m.RequestLoadSnapshotChunk,
            Field(1, "height", UINT64),
            Field(2, "format", UINT32),
            Field(3, "chunk", UINT32),
        ),
    ),
    (
        15,
        "apply_snapshot_chunk",
        Schema(
            m.RequestApplySnapshotChunk,
            Field(1, "index", UINT32),
            Field(2, "chunk", BYTES),
            Field(3, "sender", STRING),
        ),
    ),
    (
        16,
        "prepare_proposal",
        Schema(
            m.RequestPrepareProposal,
            Field(1, "max_tx_bytes", INT64),
            Field(2, "txs", BYTES, many=True),
            Field(3, "local_last_commit", EXTENDED_COMMIT),
            Field(4, "misbehavior", MISBEHAVIOR, many=True),
            Field(5, "height", INT64),
            Field(6, "time", TIMESTAMP),
            Field(7, "next_validators_hash", BYTES),
            Field(8, "proposer_address", BYTES),
        ),
    ),
    (
        17,
        "process_proposal",
        Schema(
            m.RequestProcessProposal,
            Field(1, "txs", BYTES, many=True),
            Field(2, "proposed_last_commit", COMMIT),
            Field(3, "misbehavior", MISBEHAVIOR, many=True),
            Field(4, "hash", BYTES),
            Field(5, "height", INT64),
            Field(6, "time", TIMESTAMP),
            Field(7, "next_validators_hash", BYTES),
            Field(8, "proposer_address", BYTES),
        ),
    ),
    (
        18,
        "extend_vote",
        Schema(
            m.RequestExtendVote,
            Field(1, "hash", BYTES),
            Field(2, "height", INT64),
            Field(3, "time", TIMESTAMP),
            Field(4, "txs", BYTES, many=True),
            Field(5, "proposed_last_commit", COMMIT),
            Field(6, "misbehavior", MISBEHAVIOR, many=True),
            Field(7, "next_validators_hash", BYTES),
            Field(8, "proposer_address", BYTES),
        ),
    ),
    (
        19,
        "verify_vote_extension",
        Schema(
            m.RequestVerifyVoteExtension,
            Field(1, "hash", BYTES),
            Field(2, "validator_address", BYTES),
            Field(3, "height", INT64),
            Field(4, "vote_extension", BYTES),
        ),
    ),
    (
        20,
        "finalize_block",
        Schema(
            m.RequestFinalizeBlock,
            Field(1, "txs", BYTES, many=True),
            Field(2, "decided_last_commit", COMMIT),
            Field(3, "misbehavior", MISBEHAVIOR, many=True),
            Field(4, "hash", BYTES),
            Field(5, "height", INT64),
            Field(6, "time", TIMESTAMP),
            Field(7, "next_validators_hash", BYTES),
            Field(8, "proposer_address", BYTES),
        ),
    ),
)
"""Number in the envelope, the call's name, and the request's table."""

RESPONSES: Final[tuple[tuple[int, str, Schema[Any]], ...]] = (
    (1, "exception", Schema(m.ResponseException, Field(1, "error", STRING))),
    (2, "echo", Schema(m.ResponseEcho, Field(1, "message", STRING))),
    (3, "flush", Schema(m.ResponseFlush)),
    (
        4,
        "info",
        Schema(
            m.ResponseInfo,
            Field(1, "data", STRING),
            Field(2, "version", STRING),
            Field(3, "app_version", UINT64),
            Field(4, "last_block_height", INT64),
            Field(5, "last_block_app_hash", BYTES),
        ),
    ),
    (
        6,
        "init_chain",
        Schema(
            m.ResponseInitChain,
            Field(1, "consensus_params", CONSENSUS_PARAMS, may_lack=True),
            Field(2, "validators", VALIDATOR_UPDATE, many=True),
            Field(3, "app_hash", BYTES),
        ),
    ),
    (
        7,
        "query",
        Schema(
            m.ResponseQuery,
            Field(1, "code", UINT32),
            Field(3, "log", STRING),
            Field(4, "info", STRING),
            Field(5, "index", INT64),
            Field(6, "key", BYTES),
            Field(7, "value", BYTES),
            Field(8, "proof_ops", PROOF_OPS, may_lack=True),
            Field(9, "height", INT64),
            Field(10, "codespace", STRING),
        ),
    ),
    (9, "check_tx", Schema(m.ResponseCheckTx, *RESULT_FIELDS)),
    (12, "commit", Schema(m.ResponseCommit, Field(3, "retain_height", INT64))),
    (
        13,
        "list_snapshots",
        Schema(m.ResponseListSnapshots, Field(1, "snapshots", SNAPSHOT, many=True)),
    ),
    (14, "offer_snapshot", Schema(m.ResponseOfferSnapshot, Field(1, "result", INT32))),
    (15, "load_snapshot_chunk", Schema(m.ResponseLoadSnapshotChunk, Field(1, "chunk", BYTES))),
    (
        16,
        "apply_snapshot_chunk",
        Schema(
            m.ResponseApplySnapshotChunk,
            Field(1, "result", INT32),
            Field(2, "refetch_chunks", UINT32, many=True),
            Field(3, "reject_senders", STRING, many=True),
        ),
    ),
    (
        17,
        "prepare_proposal",
        Schema(m.ResponsePrepareProposal, Field(1, "txs", BYTES, many=True)),
    ),
    (18, "process_proposal", Schema(m.ResponseProcessProposal, Field(1, "status", INT32))),
    (19, "extend_vote", Schema(m.ResponseExtendVote, Field(1, "vote_extension", BYTES))),
    (
        20,
        "verify_vote_extension",
        Schema(m.ResponseVerifyVoteExtension, Field(1, "status", INT32)),
    ),
    (
        21,
        "finalize_block",
        Schema(
            m.ResponseFinalizeBlock,
            Field(1, "events", EVENT, many=True),
            Field(2, "tx_results", TX_RESULT, many=True),
            Field(3, "validator_updates", VALIDATOR_UPDATE, many=True),
            Field(4, "consensus_param_updates", CONSENSUS_PARAMS, may_lack=True),
            Field(5, "app_hash", BYTES),
        ),
    ),
)
"""Number in the envelope, the call's name, and the response's table."""


def _open(**found: Any) -> Any:
    """Return what an envelope holds: one message, or None if no table knows it."""
    return next(iter(found.values()), None)


REQUEST_ENVELOPE: Final[Schema[m.Request | None]] = Schema(
    _open, *(Field(number, name, table, any_of=True) for number, name, table in REQUESTS)
)
RESPONSE_ENVELOPE: Final[Schema[m.Response | None]] = Schema(
    _open, *(Field(number, name, table, any_of=True) for number, name, table in RESPONSES)
)
