"""What ABCI messages are made of: enumerations, votes, validators, parameters, results.

Names and fields are ABCI's own, see `messages`. Enumerations are open, as in proto3: fields are
plain integers that the `IntEnum` classes name, and an application decides what an unknown one
means. Must not know bytes (`schema` does) nor the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

__all__ = [
    "EPOCH",
    "GO_ZERO_TIME",
    "NO_COMMIT",
    "NO_EXTENDED_COMMIT",
    "ABCIParams",
    "ApplySnapshotResult",
    "BlockIDFlag",
    "BlockParams",
    "CheckTxType",
    "CommitInfo",
    "ConsensusParams",
    "Duration",
    "Event",
    "EventAttribute",
    "EvidenceParams",
    "ExecTxResult",
    "ExtendedCommitInfo",
    "ExtendedVoteInfo",
    "Misbehavior",
    "MisbehaviorType",
    "OfferSnapshotResult",
    "ProofOp",
    "ProofOps",
    "ProposalStatus",
    "PublicKey",
    "Snapshot",
    "Timestamp",
    "Validator",
    "ValidatorParams",
    "ValidatorUpdate",
    "VersionParams",
    "VoteInfo",
]


# ---------------------------------------------------------------------------------- enumerations


class CheckTxType(IntEnum):
    """Why a transaction is checked."""

    NEW = 0
    RECHECK = 1


class BlockIDFlag(IntEnum):
    """How a validator voted: it missed the block, signed it, or signed that there is none."""

    UNKNOWN = 0
    ABSENT = 1
    COMMIT = 2
    NIL = 3


class MisbehaviorType(IntEnum):
    """What a validator is proven to have done."""

    UNKNOWN = 0
    DUPLICATE_VOTE = 1
    LIGHT_CLIENT_ATTACK = 2


class ProposalStatus(IntEnum):
    """Whether a proposal (or a vote extension) is good."""

    UNKNOWN = 0
    ACCEPT = 1
    REJECT = 2


class OfferSnapshotResult(IntEnum):
    """What an application thinks of a snapshot."""

    UNKNOWN = 0
    ACCEPT = 1
    ABORT = 2
    REJECT = 3
    REJECT_FORMAT = 4
    REJECT_SENDER = 5


class ApplySnapshotResult(IntEnum):
    """What came of a snapshot's chunk."""

    UNKNOWN = 0
    ACCEPT = 1
    ABORT = 2
    RETRY = 3
    RETRY_SNAPSHOT = 4
    REJECT_SNAPSHOT = 5


# -------------------------------------------------------------------------------- shared messages


@dataclass(frozen=True, slots=True, kw_only=True)
class Timestamp:
    """A moment: seconds since 1970 (negative before) and nanoseconds within that second."""

    seconds: int = 0
    nanos: int = 0

    @property
    def ms(self) -> int:
        """Milliseconds since 1970, rounded down."""
        return self.seconds * 1_000 + self.nanos // 1_000_000


EPOCH: Final = Timestamp()
"""What proto3 reads where a time is left out."""
GO_ZERO_TIME: Final = Timestamp(seconds=-62_135_596_800)
"""What Go writes for a time that was never set: 1 January of year 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """A length of time in seconds and nanoseconds."""

    seconds: int = 0
    nanos: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockParams:
    """How big a block may be; -1 is no limit of gas, or CometBFT's own 100 MiB."""

    max_bytes: int = 0
    max_gas: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceParams:
    """How long misbehaviour is accepted: until *both* ages are passed."""

    max_age_num_blocks: int = 0
    max_age_duration: Duration = Duration()
    max_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidatorParams:
    """Kinds of consensus keys that validators may have (``ed25519``)."""

    pub_key_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionParams:
    """The application's version, written into every header."""

    app: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ABCIParams:
    """From which height votes carry extensions; 0 never."""

    vote_extensions_enable_height: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsensusParams:
    """The engine's parameters; in an update, None leaves a group as it is."""

    block: BlockParams | None = None
    evidence: EvidenceParams | None = None
    validator: ValidatorParams | None = None
    version: VersionParams | None = None
    abci: ABCIParams | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A consensus key: exactly one of the two is bytes, the other None."""

    ed25519: bytes | None = None
    secp256k1: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Validator:
    """A validator as votes name it.

    Attributes:
        address: 20 bytes; for Ed25519 the first of SHA-256 of the key.
        power: Its voting power.
    """

    address: bytes = b""
    power: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidatorUpdate:
    """A validator's new power; 0 removes it."""

    pub_key: PublicKey = PublicKey()
    power: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteInfo:
    """How one validator voted on the last block; see `BlockIDFlag`."""

    validator: Validator = Validator()
    block_id_flag: int = BlockIDFlag.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendedVoteInfo:
    """A vote with its extension; only a proposer sees these."""

    validator: Validator = Validator()
    vote_extension: bytes = b""
    extension_signature: bytes = b""
    block_id_flag: int = BlockIDFlag.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitInfo:
    """The last block's votes, in the order of that block's validator set."""

    round: int = 0
    votes: tuple[VoteInfo, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendedCommitInfo:
    """The last block's votes with their extensions."""

    round: int = 0
    votes: tuple[ExtendedVoteInfo, ...] = ()


NO_COMMIT: Final = CommitInfo()
NO_EXTENDED_COMMIT: Final = ExtendedCommitInfo()
"""The first block carries no votes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Misbehavior:
    """Proven misbehaviour; the engine has checked signatures and age.

    Attributes:
        type: See `MisbehaviorType`.
        validator: Who, with its power when it did it.
        height: When it did it.
        time: That block's time.
        total_voting_power: Of all validators then.
    """

    type: int = MisbehaviorType.UNKNOWN
    validator: Validator = Validator()
    height: int = 0
    time: Timestamp = EPOCH
    total_voting_power: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EventAttribute:
    """One key and value of an event."""

    key: str = ""
    value: str = ""
    index: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something to be found by; no part of any hash."""

    type: str = ""
    attributes: tuple[EventAttribute, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecTxResult:
    """What came of a transaction.

    `code`, `data`, `gas_wanted` and `gas_used` go into the next header (``last_results_hash``), so
    every node must give the same ones; the rest is for people.
    """

    code: int = 0
    data: bytes = b""
    log: str = ""
    info: str = ""
    gas_wanted: int = 0
    gas_used: int = 0
    events: tuple[Event, ...] = ()
    codespace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A copy of the state at a height, in so many chunks."""

    height: int = 0
    format: int = 0
    chunks: int = 0
    hash: bytes = b""
    metadata: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofOp:
    """One step of a proof, of a named kind."""

    type: str = ""
    key: bytes = b""
    data: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofOps:
    """The steps of a proof, from the value to the root."""

    ops: tuple[ProofOp, ...] = ()
