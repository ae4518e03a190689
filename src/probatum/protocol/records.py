"""The ledger's records: what the state map holds under which key (`STATE-1`).

Light clients decode these from proofs, so they are protocol, not ledger internals. A key is a
kind, a slash, and the parts that name the record; each kind's parts have fixed sizes or cannot
contain the separator, so keys never collide. Must not know rules (`probatum.ledger`).
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta

from probatum.protocol.encoding import LedgerValue
from probatum.protocol.parties import (
    ArithmeticClass,
    Endpoint,
    EvidenceClass,
    ModelName,
    ModelVersion,
    Role,
)
from probatum.protocol.primitives import (
    Address,
    Amount,
    Digest,
    Height,
    Index,
    OperatingKey,
    PublisherKey,
)

__all__ = [
    "ACCOUNT",
    "CHALLENGE",
    "ESCROW",
    "KEY",
    "LOG",
    "LOSS",
    "MODEL",
    "NAME",
    "NODE",
    "OFFENCE",
    "OFFER",
    "PACKAGE",
    "PARAMS_KEY",
    "PUBLISHER",
    "PUBLISHER_KEY",
    "RETURNED",
    "STAKE",
    "SUPPLY_KEY",
    "Account",
    "ChallengeRecord",
    "EscrowRecord",
    "KeyRecord",
    "LogRecord",
    "LossRecord",
    "ModelRecord",
    "NameRecord",
    "NodeRecord",
    "OffenceKind",
    "OffenceRecord",
    "OfferRecord",
    "PackageNameRecord",
    "PublisherKeyRecord",
    "PublisherRecord",
    "ReturnRecord",
    "Roles",
    "StakeRecord",
    "Supply",
    "Unbonding",
    "get_account_key",
    "get_challenge_key",
    "get_charge_key",
    "get_escrow_key",
    "get_key_key",
    "get_log_key",
    "get_loss_key",
    "get_model_key",
    "get_name_key",
    "get_node_key",
    "get_offence_key",
    "get_offer_key",
    "get_package_name_key",
    "get_publisher_key",
    "get_publisher_key_key",
    "get_return_key",
    "get_stake_key",
]

ACCOUNT: Final = b"account/"
CHALLENGE: Final = b"challenge/"
ESCROW: Final = b"escrow/"
KEY: Final = b"key/"
LOG: Final = b"log/"
LOSS: Final = b"loss/"
MODEL: Final = b"model/"
NAME: Final = b"name/"
NODE: Final = b"node/"
OFFENCE: Final = b"offence/"
OFFER: Final = b"offer/"
PACKAGE: Final = b"package/"
PUBLISHER: Final = b"publisher/"
PUBLISHER_KEY: Final = b"publisher-key/"
RETURNED: Final = b"returned/"
STAKE: Final = b"stake/"
SUPPLY_KEY: Final = b"supply"
PARAMS_KEY: Final = b"params"

Roles = Annotated[tuple[Role, ...], Meta(min_length=1, max_length=8)]
"""Distinct roles in alphabetical order."""

OffenceKind: TypeAlias = Literal["charge", "entry", "fork", "loss", "omission"]
"""What a node can be convicted of (`LOG-1`, `PAY-1`).

``charge``: it charged twice for one piece of work. ``entry``: what it signed for one index is not
one thing. ``fork``: what it signed of one session is not one log. ``loss``: it lost its log twice
within an epoch. ``omission``: it left a receipt out, challenged and all.
"""


class Account(LedgerValue, frozen=True, kw_only=True):
    """A balance, and the nonce that its next transaction must carry."""

    balance: Amount
    nonce: Index


class Unbonding(LedgerValue, frozen=True, kw_only=True):
    """Stake on its way out: still slashable until it matures and is withdrawn."""

    amount: Amount
    matures_at: Height


class StakeRecord(LedgerValue, frozen=True, kw_only=True):
    """An account's stake; `unbonding` in order of maturity."""

    bonded: Amount
    unbonding: Annotated[tuple[Unbonding, ...], Meta(max_length=32)]


class NodeRecord(LedgerValue, frozen=True, kw_only=True):
    """An operator's node.

    Attributes:
        sequence: Number that the node's next authority must carry.
        sessions: Log sessions opened so far; the newest one is number ``sessions - 1``.
        heartbeat_at: Height of the last heartbeat, of the registration before the first.
    """

    account: Address
    operating_key: OperatingKey
    endpoint: Endpoint
    roles: Roles
    registered_at: Height
    heartbeat_at: Height
    sequence: Index
    sessions: Index


class KeyRecord(LedgerValue, frozen=True, kw_only=True):
    """Whose operating key this is or was; an operating key serves one account, for ever."""

    account: Address
    registered_at: Height
    retired_at: Height | None


class ModelRecord(LedgerValue, frozen=True, kw_only=True):
    """A published model version: a name for a package digest, never re-bound."""

    name: ModelName
    version: ModelVersion
    publisher: Address
    package: Digest
    size_bytes: Amount
    published_at: Height


class NameRecord(LedgerValue, frozen=True, kw_only=True):
    """Whose a model name is: who published under it first; nobody else can add versions."""

    publisher: Address
    claimed_at: Height


class PackageNameRecord(LedgerValue, frozen=True, kw_only=True):
    """A name that a package was published under: how a digest leads back to a `ModelRecord`."""

    name: ModelName
    version: ModelVersion


class PublisherRecord(LedgerValue, frozen=True, kw_only=True):
    """Which key signs an account's packages now (`SIGN-2`)."""

    account: Address
    key_id: Digest


class PublisherKeyRecord(LedgerValue, frozen=True, kw_only=True):
    """Whose packages a key signs or signed; a publisher's key serves one account, for ever."""

    account: Address
    key: PublisherKey
    registered_at: Height
    retired_at: Height | None


class OfferRecord(LedgerValue, frozen=True, kw_only=True):
    """An operator's standing offer to run a package at a price."""

    operator: Address
    package: Digest
    arithmetic: ArithmeticClass
    evidence: EvidenceClass
    price_units: Amount
    offered_at: Height


class LogRecord(LedgerValue, frozen=True, kw_only=True):
    """One log session and its last settled checkpoint (`LOG-1`).

    Before the first settlement `size` is 0, `root` the empty tree's root, `settled_at` the
    height of opening. Only size and root are kept, not the checkpoint itself. `opener` is what
    the life of the node drew that opened the session: it knows its own by it.
    """

    operator: Address
    session: Index
    opener: Digest
    operating_key: OperatingKey
    size: Index
    root: Digest
    opened_at: Height
    settled_at: Height


class ChallengeRecord(LedgerValue, frozen=True, kw_only=True):
    """A receipt that is overdue, and by when its node must settle it (`LOG-1`).

    Attributes:
        entry: The receipt's log entry.
        challenger: Who gets the bond back.
        deadline_at: The last height at which the node cannot be convicted; later, if its session
            was declared lost (`LossRecord.declared_at` and an epoch).
        refund_units: What the receipt cost; paid back if its node lost it.
        payer: Who paid it, out of the escrow that the receipt names; None if nobody did.
    """

    operator: Address
    session: Index
    index: Index
    entry: Digest
    challenger: Address
    bond_units: Amount
    opened_at: Height
    deadline_at: Height
    refund_units: Amount = 0
    payer: Address | None = None


class LossRecord(LedgerValue, frozen=True, kw_only=True):
    """The last time that a node said that it lost its log (`LOG-1`).

    Attributes:
        session: The newest session that it is about; all before it are lost too.
        losses: How often the node said so.
    """

    operator: Address
    session: Index
    declared_at: Height
    losses: Index


class ReturnRecord(LedgerValue, frozen=True, kw_only=True):
    """Where the entry of a lost log is now; it stays for ever, so that it is made good once.

    Attributes:
        session: The lost session that promised it.
        in_session: The session that has it, at `in_index`, settled.
    """

    operator: Address
    session: Index
    index: Index
    entry: Digest
    in_session: Index
    in_index: Index
    returned_at: Height


class EscrowRecord(LedgerValue, frozen=True, kw_only=True):
    """What a payer set aside for a payee; one a pair, for ever, so no voucher pays twice (`PAY-1`).

    Attributes:
        deposited_units: All that the payer put in, less what it took back: what all vouchers
            together can bring. What is in the escrow is this less `collected_units`.
        collected_units: All that the payee was ever paid from it; it only grows.
        closing_at: The last height at which the payer cannot take the rest back; None while the
            escrow is open.
    """

    payer: Address
    payee: Address
    deposited_units: Amount
    collected_units: Amount
    closing_at: Height | None
    opened_at: Height


class OffenceRecord(LedgerValue, frozen=True, kw_only=True):
    """A conviction; it stays for ever, so that nothing is punished twice (`LOG-1`).

    Attributes:
        index: The entry that it is about; 0 for a fork or loss, which is one for its session.
        reporter: Who proved it.
        slashed_units: What was taken, reward included.
        reward_units: The reporter's part; the rest was burned.
    """

    operator: Address
    session: Index
    kind: OffenceKind
    index: Index
    reporter: Address
    slashed_units: Amount
    reward_units: Amount
    convicted_at: Height
    first_record: Digest | None = None


class Supply(LedgerValue, frozen=True, kw_only=True):
    """All units ever issued, and those burned since."""

    issued: Amount
    burned: Amount


def get_account_key(account: Address) -> bytes:
    """Key of an `Account`."""
    return ACCOUNT + account


def get_stake_key(account: Address) -> bytes:
    """Key of a `StakeRecord`."""
    return STAKE + account


def get_node_key(account: Address) -> bytes:
    """Key of a `NodeRecord`."""
    return NODE + account


def get_key_key(key: OperatingKey) -> bytes:
    """Key of a `KeyRecord`."""
    return KEY + key


def get_model_key(name: ModelName, version: ModelVersion) -> bytes:
    """Key of a `ModelRecord`; a name has no slash, so name and version cannot run together."""
    return MODEL + name.encode() + b"/" + version.encode()


def get_name_key(name: ModelName) -> bytes:
    """Key of a `NameRecord`."""
    return NAME + name.encode()


def get_offer_key(operator: Address, package: Digest, arithmetic: ArithmeticClass) -> bytes:
    """Key of an `OfferRecord`: by package first, so that one scan lists who runs a model."""
    return OFFER + package + operator + arithmetic.encode()


def get_package_name_key(package: Digest, name: ModelName, version: ModelVersion) -> bytes:
    """Key of a `PackageNameRecord`: by package first, so that one scan finds all its names."""
    return PACKAGE + package + name.encode() + b"/" + version.encode()


def get_publisher_key(account: Address) -> bytes:
    """Key of a `PublisherRecord`."""
    return PUBLISHER + account


def get_publisher_key_key(key_id: Digest) -> bytes:
    """Key of a `PublisherKeyRecord`: by the key's id, which is what a signature names."""
    return PUBLISHER_KEY + key_id


def get_log_key(operator: Address, session: int) -> bytes:
    """Key of a `LogRecord`."""
    return LOG + operator + session.to_bytes(8, "big")


def get_challenge_key(operator: Address, session: int, index: int) -> bytes:
    """Key of a `ChallengeRecord`."""
    return CHALLENGE + operator + session.to_bytes(8, "big") + index.to_bytes(8, "big")


def get_loss_key(operator: Address) -> bytes:
    """Key of a `LossRecord`."""
    return LOSS + operator


def get_return_key(operator: Address, session: int, index: int) -> bytes:
    """Key of a `ReturnRecord`: by the place that was promised."""
    return RETURNED + operator + session.to_bytes(8, "big") + index.to_bytes(8, "big")


def get_escrow_key(escrow: Digest) -> bytes:
    """Key of an `EscrowRecord`: by its id, which is what vouchers and receipts name."""
    return ESCROW + escrow


def get_offence_key(operator: Address, session: int, kind: OffenceKind, index: int) -> bytes:
    """Key of an `OffenceRecord`: by operator first, so that one scan lists all that it did."""
    place = session.to_bytes(8, "big") + index.to_bytes(8, "big")
    return OFFENCE + operator + place + kind.encode()


def get_charge_key(operator: Address, first_record: Digest) -> bytes:
    """Key of a gateway's `OffenceRecord`: longer than any of a node's, so they never collide."""
    return OFFENCE + operator + first_record + b"charge"
