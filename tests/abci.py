"""ABCI 2.0 by Google's protobuf: classes made at test time, the oracle of our own codec.

The table below was written from CometBFT's protocol files, not from ours. `!` marks messages that
Go always writes, `*` what repeats, `?` members of a choice. Enumerations are int32 on the wire, and
`Query.path` is bytes here, since Go does not look whether it is text.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

SCALARS = {"i64": 3, "u64": 4, "i32": 5, "bool": 8, "str": 9, "bytes": 12, "u32": 13}
TABLE = """
Timestamp 1 seconds i64, 2 nanos i32
Duration 1 seconds i64, 2 nanos i32
BlockParams 1 max_bytes i64, 2 max_gas i64
EvidenceParams 1 max_age_num_blocks i64, 2 max_age_duration Duration!, 3 max_bytes i64
ValidatorParams 1 pub_key_types str*
VersionParams 1 app u64
ABCIParams 1 vote_extensions_enable_height i64
ConsensusParams 1 block BlockParams, 2 evidence EvidenceParams, 3 validator ValidatorParams
+ 4 version VersionParams, 5 abci ABCIParams
PublicKey 1 ed25519 bytes?, 2 secp256k1 bytes?
Validator 1 address bytes, 3 power i64
ValidatorUpdate 1 pub_key PublicKey!, 2 power i64
VoteInfo 1 validator Validator!, 3 block_id_flag i32
ExtendedVoteInfo 1 validator Validator!, 3 vote_extension bytes, 4 extension_signature bytes
+ 5 block_id_flag i32
CommitInfo 1 round i32, 2 votes VoteInfo*
ExtendedCommitInfo 1 round i32, 2 votes ExtendedVoteInfo*
Misbehavior 1 type i32, 2 validator Validator!, 3 height i64, 4 time Timestamp!
+ 5 total_voting_power i64
EventAttribute 1 key str, 2 value str, 3 index bool
Event 1 type str, 2 attributes EventAttribute*
ExecTxResult 1 code u32, 2 data bytes, 3 log str, 4 info str, 5 gas_wanted i64, 6 gas_used i64
+ 7 events Event*, 8 codespace str
Snapshot 1 height u64, 2 format u32, 3 chunks u32, 4 hash bytes, 5 metadata bytes
ProofOp 1 type str, 2 key bytes, 3 data bytes
ProofOps 1 ops ProofOp*
RequestEcho 1 message str
RequestFlush
RequestInfo 1 version str, 2 block_version u64, 3 p2p_version u64, 4 abci_version str
RequestInitChain 1 time Timestamp!, 2 chain_id str, 3 consensus_params ConsensusParams
+ 4 validators ValidatorUpdate*, 5 app_state_bytes bytes, 6 initial_height i64
RequestQuery 1 data bytes, 2 path bytes, 3 height i64, 4 prove bool
RequestCheckTx 1 tx bytes, 2 type i32
RequestCommit
RequestListSnapshots
RequestOfferSnapshot 1 snapshot Snapshot, 2 app_hash bytes
RequestLoadSnapshotChunk 1 height u64, 2 format u32, 3 chunk u32
RequestApplySnapshotChunk 1 index u32, 2 chunk bytes, 3 sender str
RequestPrepareProposal 1 max_tx_bytes i64, 2 txs bytes*, 3 local_last_commit ExtendedCommitInfo!
+ 4 misbehavior Misbehavior*, 5 height i64, 6 time Timestamp!, 7 next_validators_hash bytes
+ 8 proposer_address bytes
RequestProcessProposal 1 txs bytes*, 2 proposed_last_commit CommitInfo!
+ 3 misbehavior Misbehavior*, 4 hash bytes, 5 height i64, 6 time Timestamp!
+ 7 next_validators_hash bytes, 8 proposer_address bytes
RequestExtendVote 1 hash bytes, 2 height i64, 3 time Timestamp!, 4 txs bytes*
+ 5 proposed_last_commit CommitInfo!, 6 misbehavior Misbehavior*
+ 7 next_validators_hash bytes, 8 proposer_address bytes
RequestVerifyVoteExtension 1 hash bytes, 2 validator_address bytes, 3 height i64
+ 4 vote_extension bytes
RequestFinalizeBlock 1 txs bytes*, 2 decided_last_commit CommitInfo!, 3 misbehavior Misbehavior*
+ 4 hash bytes, 5 height i64, 6 time Timestamp!, 7 next_validators_hash bytes
+ 8 proposer_address bytes
ResponseException 1 error str
ResponseEcho 1 message str
ResponseFlush
ResponseInfo 1 data str, 2 version str, 3 app_version u64, 4 last_block_height i64
+ 5 last_block_app_hash bytes
ResponseInitChain 1 consensus_params ConsensusParams, 2 validators ValidatorUpdate*
+ 3 app_hash bytes
ResponseQuery 1 code u32, 3 log str, 4 info str, 5 index i64, 6 key bytes, 7 value bytes
+ 8 proof_ops ProofOps, 9 height i64, 10 codespace str
ResponseCheckTx 1 code u32, 2 data bytes, 3 log str, 4 info str, 5 gas_wanted i64
+ 6 gas_used i64, 7 events Event*, 8 codespace str
ResponseCommit 3 retain_height i64
ResponseListSnapshots 1 snapshots Snapshot*
ResponseOfferSnapshot 1 result i32
ResponseLoadSnapshotChunk 1 chunk bytes
ResponseApplySnapshotChunk 1 result i32, 2 refetch_chunks u32*, 3 reject_senders str*
ResponsePrepareProposal 1 txs bytes*
ResponseProcessProposal 1 status i32
ResponseExtendVote 1 vote_extension bytes
ResponseVerifyVoteExtension 1 status i32
ResponseFinalizeBlock 1 events Event*, 2 tx_results ExecTxResult*
+ 3 validator_updates ValidatorUpdate*, 4 consensus_param_updates ConsensusParams
+ 5 app_hash bytes
Request 1 echo RequestEcho?, 2 flush RequestFlush?, 3 info RequestInfo?
+ 5 init_chain RequestInitChain?, 6 query RequestQuery?, 8 check_tx RequestCheckTx?
+ 11 commit RequestCommit?, 12 list_snapshots RequestListSnapshots?
+ 13 offer_snapshot RequestOfferSnapshot?, 14 load_snapshot_chunk RequestLoadSnapshotChunk?
+ 15 apply_snapshot_chunk RequestApplySnapshotChunk?
+ 16 prepare_proposal RequestPrepareProposal?, 17 process_proposal RequestProcessProposal?
+ 18 extend_vote RequestExtendVote?, 19 verify_vote_extension RequestVerifyVoteExtension?
+ 20 finalize_block RequestFinalizeBlock?
Response 1 exception ResponseException?, 2 echo ResponseEcho?, 3 flush ResponseFlush?
+ 4 info ResponseInfo?, 6 init_chain ResponseInitChain?, 7 query ResponseQuery?
+ 9 check_tx ResponseCheckTx?, 12 commit ResponseCommit?
+ 13 list_snapshots ResponseListSnapshots?, 14 offer_snapshot ResponseOfferSnapshot?
+ 15 load_snapshot_chunk ResponseLoadSnapshotChunk?
+ 16 apply_snapshot_chunk ResponseApplySnapshotChunk?
+ 17 prepare_proposal ResponsePrepareProposal?, 18 process_proposal ResponseProcessProposal?
+ 19 extend_vote ResponseExtendVote?, 20 verify_vote_extension ResponseVerifyVoteExtension?
+ 21 finalize_block ResponseFinalizeBlock?
"""
ALWAYS: set[tuple[str, str]] = set()


def read_table() -> dict[str, list[tuple[int, str, str]]]:
    lines = TABLE.strip().replace("\n+", ",").splitlines()
    parsed = {}
    for line in lines:
        message, _, rest = line.partition(" ")
        rows = [part.split() for part in rest.split(",") if part.strip()]
        parsed[message] = [(int(number), name, kind) for number, name, kind in rows]
    return parsed


@cache
def make_classes() -> dict[str, type[Message]]:
    """Make Google's class of every message of the table."""
    file = descriptor_pb2.FileDescriptorProto(
        name="abci_oracle.proto", package="oracle", syntax="proto3"
    )
    for name, rows in read_table().items():
        message = file.message_type.add(name=name)
        for number, field_name, written in rows:
            kind = written.rstrip("!*?")
            field = message.field.add(name=field_name, number=number)
            field.label = 3 if written.endswith("*") else 1
            field.type = SCALARS.get(kind, 11)
            if kind not in SCALARS:
                field.type_name = f".oracle.{kind}"
            if written.endswith("!"):
                ALWAYS.add((name, field_name))
            if written.endswith("?"):
                if not message.oneof_decl:
                    message.oneof_decl.add(name="choice")
                field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"oracle.{name}"))
        for name in read_table()
    }


def is_repeated(field: FieldDescriptor) -> bool:
    return field.is_repeated


def show_theirs(message: Message) -> dict[str, Any]:
    """Show Google's message as plain mappings, the way `show_ours` shows ours."""
    shown: dict[str, Any] = {}
    owner = message.DESCRIPTOR.name
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        nested = field.message_type is not None
        if is_repeated(field):
            shown[field.name] = [show_theirs(item) if nested else item for item in value]
        elif field.containing_oneof is not None or (nested and (owner, field.name) not in ALWAYS):
            given = message.HasField(field.name)
            shown[field.name] = (show_theirs(value) if nested else value) if given else None
        elif (owner, field.name) == ("RequestQuery", "path"):
            shown[field.name] = value.decode(errors="replace")
        else:
            shown[field.name] = show_theirs(value) if nested else value
    return shown


def show_ours(value: object) -> Any:
    """Show a value of ours as plain mappings."""
    if is_dataclass(value):
        return {field.name: show_ours(getattr(value, field.name)) for field in fields(value)}
    return [show_ours(item) for item in value] if isinstance(value, tuple) else value
