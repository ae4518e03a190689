"""The bodies of transactions: one frozen value a kind, with the EIP-712 type a wallet signs.

A body's tag is its place in MessagePack's tagged union and never changes. `EIP712` lists the
body's fields as a wallet shows them, in order; `signed` adds the common ones. Bodies that act
for a node carry an `authority`: the node's operating key signs the body itself, so whoever pays
the fee (a hot account on the node's machine) need not hold the operator's account key. Their
`sequence` (for a log: the session number) must be the node's next one, so an authority acts once.
Bodies about payments and validators are on pages of their own. Must not know handlers
(`probatum.ledger.handlers`, one file a kind).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, TypeAlias

from msgspec import Meta

from probatum.protocol import limits
from probatum.protocol.encoding import LedgerValue
from probatum.protocol.parties import (
    ArithmeticClass,
    Endpoint,
    EvidenceClass,
    ModelName,
    ModelVersion,
)
from probatum.protocol.primitives import (
    Address,
    Amount,
    Digest,
    Index,
    OperatingKey,
    OperatingSignature,
    PublisherKey,
    PublisherSignature,
)
from probatum.protocol.records import Roles
from probatum.protocol.transactions.fields import FieldTypes, Proof, ReceiptBytes, Vouchers
from probatum.protocol.transactions.payments import (
    CloseEscrow,
    CollectVouchers,
    FundEscrow,
    PaymentBody,
    ReportTwoCharges,
    ReportTwoReleases,
    WithdrawEscrow,
)
from probatum.protocol.transactions.validators import ValidatorBody

__all__ = [
    "Accusation",
    "Body",
    "ChallengeReceipt",
    "CloseChallenge",
    "CloseEscrow",
    "CollectVouchers",
    "ConvictOmission",
    "DeclareLoss",
    "FundEscrow",
    "Heartbeat",
    "NodeBody",
    "Offer",
    "OpenLog",
    "PaymentBody",
    "PublishModel",
    "Recovery",
    "RegisterNode",
    "RegisterPublisherKey",
    "ReportNoPrefix",
    "ReportTwoCharges",
    "ReportTwoReceipts",
    "ReportTwoReleases",
    "ReportWrongEntry",
    "ReturnReceipt",
    "SettleCheckpoint",
    "Stake",
    "Transfer",
    "Unstake",
    "ValidatorBody",
    "Withdraw",
    "WithdrawEscrow",
    "WithdrawOffer",
]


class Transfer(LedgerValue, frozen=True, kw_only=True, tag=1):
    """Move units to another account."""

    EIP712: ClassVar[FieldTypes] = (("to", "address"), ("amount", "uint64"))
    to: Address
    amount: Amount


class Stake(LedgerValue, frozen=True, kw_only=True, tag=2):
    """Bond units of one's own balance."""

    EIP712: ClassVar[FieldTypes] = (("amount", "uint64"),)
    amount: Amount


class Unstake(LedgerValue, frozen=True, kw_only=True, tag=3):
    """Begin to unbond; the units stay slashable until they mature."""

    EIP712: ClassVar[FieldTypes] = (("amount", "uint64"),)
    amount: Amount


class Withdraw(LedgerValue, frozen=True, kw_only=True, tag=4):
    """Return all matured unbonding to the balance."""

    EIP712: ClassVar[FieldTypes] = ()


class RegisterNode(LedgerValue, frozen=True, kw_only=True, tag=5):
    """Register or replace the sender's node: key, endpoint, roles.

    `authority` is the operating key's signature over this body for this sender (see
    `probatum.protocol.transactions.signed.compute_authority_message`): nobody registers a key
    that they do not hold.
    """

    EIP712: ClassVar[FieldTypes] = (
        ("operating_key", "bytes32"),
        ("endpoint", "string"),
        ("roles", "string[]"),
        ("authority", "bytes"),
    )
    operating_key: OperatingKey
    endpoint: Endpoint
    roles: Roles
    authority: OperatingSignature


class PublishModel(LedgerValue, frozen=True, kw_only=True, tag=6):
    """Bind a name and version to a package digest, for ever."""

    EIP712: ClassVar[FieldTypes] = (
        ("name", "string"),
        ("version", "string"),
        ("package", "bytes32"),
        ("size_bytes", "uint64"),
    )
    name: ModelName
    version: ModelVersion
    package: Digest
    size_bytes: Amount


class Offer(LedgerValue, frozen=True, kw_only=True, tag=7):
    """Offer to run a package; replaces the node's earlier offer of the same class."""

    EIP712: ClassVar[FieldTypes] = (
        ("operator", "address"),
        ("package", "bytes32"),
        ("arithmetic", "string"),
        ("evidence", "string"),
        ("price_units", "uint64"),
        ("sequence", "uint64"),
        ("authority", "bytes"),
    )
    operator: Address
    package: Digest
    arithmetic: ArithmeticClass
    evidence: EvidenceClass
    price_units: Amount
    sequence: Index
    authority: OperatingSignature


class WithdrawOffer(LedgerValue, frozen=True, kw_only=True, tag=8):
    """Take an offer back."""

    EIP712: ClassVar[FieldTypes] = (
        ("operator", "address"),
        ("package", "bytes32"),
        ("arithmetic", "string"),
        ("sequence", "uint64"),
        ("authority", "bytes"),
    )
    operator: Address
    package: Digest
    arithmetic: ArithmeticClass
    sequence: Index
    authority: OperatingSignature


class OpenLog(LedgerValue, frozen=True, kw_only=True, tag=9):
    """Open the node's next log session (`LOG-1`); `session` must be exactly the next number.

    `opener` is drawn by the life of the node that asks. Without it two copies of one node could
    send the very same bytes, and both take the one session for their own.
    """

    EIP712: ClassVar[FieldTypes] = (
        ("operator", "address"),
        ("session", "uint64"),
        ("opener", "bytes32"),
        ("authority", "bytes"),
    )
    operator: Address
    session: Index
    opener: Digest
    authority: OperatingSignature


class SettleCheckpoint(LedgerValue, frozen=True, kw_only=True, tag=10):
    """Settle a checkpoint of a log session: append-only, shown by a consistency proof.

    The checkpoint is a signed note by the session's operating key: its own authority. Vouchers
    ride along (`PAY-1`), so that a paid node needs no transaction of its own to collect; none of
    them can keep the checkpoint from being settled.
    """

    EIP712: ClassVar[FieldTypes] = (
        ("operator", "address"),
        ("session", "uint64"),
        ("checkpoint", "bytes"),
        ("consistency", "bytes32[]"),
        ("vouchers", "bytes[]"),
    )
    operator: Address
    session: Index
    checkpoint: Annotated[bytes, Meta(max_length=limits.CHECKPOINT_BYTES)]
    consistency: Proof
    vouchers: Vouchers = ()


class Heartbeat(LedgerValue, frozen=True, kw_only=True, tag=11):
    """Say that the node is alive."""

    EIP712: ClassVar[FieldTypes] = (
        ("operator", "address"),
        ("sequence", "uint64"),
        ("authority", "bytes"),
    )
    operator: Address
    sequence: Index
    authority: OperatingSignature


class RegisterPublisherKey(LedgerValue, frozen=True, kw_only=True, tag=12):
    """Make a P-256 key the one that signs the sender's packages; retires the one before it.

    `possession` is the key's own signature for this sender and chain (`SIGN-2`, see
    `probatum.protocol.transactions.possession`): nobody registers a key that they do not hold.
    """

    EIP712: ClassVar[FieldTypes] = (("key", "bytes"), ("possession", "bytes"))
    key: PublisherKey
    possession: PublisherSignature


class ReportTwoReceipts(LedgerValue, frozen=True, kw_only=True, tag=13):
    """Convict a node that signed two receipts for one index of a session (`LOG-1`)."""

    EIP712: ClassVar[FieldTypes] = (
        ("operator", "address"),
        ("first", "bytes"),
        ("first_signature", "bytes"),
        ("second", "bytes"),
        ("second_signature", "bytes"),
    )
    operator: Address
    first: ReceiptBytes
    first_signature: OperatingSignature
    second: ReceiptBytes
    second_signature: OperatingSignature


class ReportWrongEntry(LedgerValue, frozen=True, kw_only=True, tag=14):
    """Convict a node whose settled log has another entry than a receipt promised (`LOG-1`).

    `leaf` is the RFC 6962 hash of what the log has at the receipt's index, `inclusion` the proof:
    under a `checkpoint` that the session's key signed, or, where that is empty, under the settled
    root of the moment, which a node can move away from under the proof by settling more.
    """

    EIP712: ClassVar[FieldTypes] = (
        ("operator", "address"),
        ("receipt", "bytes"),
        ("signature", "bytes"),
        ("leaf", "bytes32"),
        ("inclusion", "bytes32[]"),
        ("checkpoint", "bytes"),
    )
    operator: Address
    receipt: ReceiptBytes
    signature: OperatingSignature
    leaf: Digest
    inclusion: Proof
    checkpoint: Annotated[bytes, Meta(max_length=limits.CHECKPOINT_BYTES)] = b""


class ReportNoPrefix(LedgerValue, frozen=True, kw_only=True, tag=15):
    """Convict a node of whose checkpoints of one session neither begins with the other (`LOG-1`).

    `against` is another signed checkpoint, or empty: then it is what the ledger has settled.
    `root` is what the longer one has at the shorter one's size, `consistency` the proof.
    """

    EIP712: ClassVar[FieldTypes] = (
        ("operator", "address"),
        ("session", "uint64"),
        ("checkpoint", "bytes"),
        ("against", "bytes"),
        ("root", "bytes32"),
        ("consistency", "bytes32[]"),
    )
    operator: Address
    session: Index
    checkpoint: Annotated[bytes, Meta(max_length=limits.CHECKPOINT_BYTES)]
    against: Annotated[bytes, Meta(max_length=limits.CHECKPOINT_BYTES)]
    root: Digest
    consistency: Proof


class ChallengeReceipt(LedgerValue, frozen=True, kw_only=True, tag=16):
    """Demand, under a bond, that a node settle an overdue receipt (`LOG-1`)."""

    EIP712: ClassVar[FieldTypes] = (
        ("operator", "address"),
        ("receipt", "bytes"),
        ("signature", "bytes"),
    )
    operator: Address
    receipt: ReceiptBytes
    signature: OperatingSignature


class CloseChallenge(LedgerValue, frozen=True, kw_only=True, tag=17):
    """Close a challenge whose receipt the node has settled since: late, not left out (`LOG-1`)."""

    EIP712: ClassVar[FieldTypes] = (
        ("operator", "address"),
        ("session", "uint64"),
        ("index", "uint64"),
        ("inclusion", "bytes32[]"),
    )
    operator: Address
    session: Index
    index: Index
    inclusion: Proof


class ConvictOmission(LedgerValue, frozen=True, kw_only=True, tag=18):
    """Convict a node that let a challenge's deadline pass (`LOG-1`)."""

    EIP712: ClassVar[FieldTypes] = (
        ("operator", "address"),
        ("session", "uint64"),
        ("index", "uint64"),
    )
    operator: Address
    session: Index
    index: Index


class DeclareLoss(LedgerValue, frozen=True, kw_only=True, tag=30):
    """Say that the node lost what it had of its sessions up to one (`LOG-1`).

    The node must have opened a later session: what it lost is handed back into that.
    """

    EIP712: ClassVar[FieldTypes] = (
        ("operator", "address"),
        ("session", "uint64"),
        ("sequence", "uint64"),
        ("authority", "bytes"),
    )
    operator: Address
    session: Index
    sequence: Index
    authority: OperatingSignature


class ReturnReceipt(LedgerValue, frozen=True, kw_only=True, tag=31):
    """Close a challenge of a lost entry: it is in a later session and settled there (`LOG-1`).

    Whoever sends it pays the receipt's price back to who paid it.
    """

    EIP712: ClassVar[FieldTypes] = (
        ("operator", "address"),
        ("session", "uint64"),
        ("index", "uint64"),
        ("in_session", "uint64"),
        ("in_index", "uint64"),
        ("inclusion", "bytes32[]"),
    )
    operator: Address
    session: Index
    index: Index
    in_session: Index
    in_index: Index
    inclusion: Proof


Accusation: TypeAlias = (
    ReportTwoReceipts
    | ReportWrongEntry
    | ReportNoPrefix
    | ChallengeReceipt
    | CloseChallenge
    | ConvictOmission
)
"""Bodies by which anybody holds a node to what it signed (`LOG-1`)."""

Recovery: TypeAlias = DeclareLoss | ReturnReceipt
"""Bodies by which a node makes good for a log that it lost (`LOG-1`)."""

Body: TypeAlias = (
    Transfer
    | Stake
    | Unstake
    | Withdraw
    | RegisterNode
    | PublishModel
    | Offer
    | WithdrawOffer
    | OpenLog
    | SettleCheckpoint
    | Heartbeat
    | RegisterPublisherKey
    | Accusation
    | PaymentBody
    | Recovery
    | ValidatorBody
)
"""Every kind of transaction body."""

NodeBody: TypeAlias = RegisterNode | Offer | WithdrawOffer | OpenLog | Heartbeat | DeclareLoss
"""Bodies that carry an `authority` by the node's operating key."""
