"""Validators as the state map holds them, for networks with an engine of several (`VAL-1`).

Records and keys like those of `records`; a chain whose engine is one key has none of them. Must
not know rules (`probatum.ledger.validators`).
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from probatum.protocol import limits
from probatum.protocol.blocks import MisbehaviourKind
from probatum.protocol.encoding import LedgerValue
from probatum.protocol.hashing import sha256
from probatum.protocol.primitives import (
    Address,
    Amount,
    ConsensusAddress,
    ConsensusKey,
    Height,
    Index,
    Millis,
    make_consensus_address,
)

__all__ = [
    "CONSENSUS_KEY",
    "CONSENSUS_PARAMS_KEY",
    "INFRACTION",
    "MISSED",
    "UNBONDING_ENTRIES",
    "VALIDATOR",
    "VALIDATOR_SET_KEY",
    "ConsensusKeyRecord",
    "ConsensusUnbonding",
    "InfractionRecord",
    "MissedRecord",
    "Seat",
    "ValidatorRecord",
    "ValidatorSet",
    "compute_consensus_address",
    "get_attack_key",
    "get_consensus_key_key",
    "get_infraction_key",
    "get_missed_key",
    "get_validator_key",
]

VALIDATOR: Final = b"validator/"
CONSENSUS_KEY: Final = b"consensus-key/"
MISSED: Final = b"missed/"
INFRACTION: Final = b"infraction/"
VALIDATOR_SET_KEY: Final = b"validator-set"
CONSENSUS_PARAMS_KEY: Final = b"consensus-params"

UNBONDING_ENTRIES: Final = 32
"""Amounts that one validator may have unbonding at a time."""


class ConsensusUnbonding(LedgerValue, frozen=True, kw_only=True):
    """Consensus stake on its way out: slashable for what was done while it still counted.

    Attributes:
        began_at: The height that it was unstaked at.
        matures_at: The first height at which it can be withdrawn,
        matures_ms: if the header time is not before this one.
    """

    amount: Amount
    began_at: Height
    matures_at: Height
    matures_ms: Millis


class ValidatorRecord(LedgerValue, frozen=True, kw_only=True):
    """An account that validates, or did.

    Attributes:
        key: The key that it votes by from the next change of the set on.
        bonded: Its consensus stake; another slice than a node's stake.
        unbonding: In order of beginning.
        jailed_until: The first height at which it may be freed; None if it is not jailed.
        tombstoned_at: Where it was convicted of misbehaviour; it never validates again.
    """

    account: Address
    key: ConsensusKey
    registered_at: Height
    bonded: Amount
    unbonding: Annotated[tuple[ConsensusUnbonding, ...], Meta(max_length=UNBONDING_ENTRIES)] = ()
    jailed_until: Height | None = None
    tombstoned_at: Height | None = None


class ConsensusKeyRecord(LedgerValue, frozen=True, kw_only=True):
    """Whose consensus key this is or was, for ever: evidence may name it long after."""

    account: Address
    key: ConsensusKey
    registered_at: Height


class MissedRecord(LedgerValue, frozen=True, kw_only=True):
    """Votes that a validator missed in the last window in which it missed any.

    Attributes:
        window: Number of the window: the block's height over the window's length.
    """

    account: Address
    window: Index
    missed: Index


class InfractionRecord(LedgerValue, frozen=True, kw_only=True):
    """A conviction of a validator; it stays for ever, so that nothing is punished twice."""

    account: Address
    kind: MisbehaviourKind
    height: Height
    slashed_units: Amount
    convicted_at: Height


class Seat(LedgerValue, frozen=True, kw_only=True):
    """One validator of the set: whose it is, its key and its voting power, in whole tokens."""

    account: Address
    key: ConsensusKey
    power: Amount


class ValidatorSet(LedgerValue, frozen=True, kw_only=True):
    """Who validates: both lists by power, the most first, then by consensus address.

    Attributes:
        seats: What the engine was told last; never empty.
        waiting: Those who qualify but have too little power for a seat.
    """

    seats: Annotated[tuple[Seat, ...], Meta(min_length=1, max_length=limits.VALIDATORS)]
    waiting: Annotated[tuple[Seat, ...], Meta(max_length=limits.VALIDATOR_CANDIDATES)]


def compute_consensus_address(key: ConsensusKey) -> ConsensusAddress:
    """Compute how the engine names a validator with this key."""
    return make_consensus_address(sha256(key)[:20])


def get_validator_key(account: Address) -> bytes:
    """Key of a `ValidatorRecord`."""
    return VALIDATOR + account


def get_consensus_key_key(address: ConsensusAddress) -> bytes:
    """Key of a `ConsensusKeyRecord`: by its address, which is all that the engine tells."""
    return CONSENSUS_KEY + address


def get_missed_key(account: Address) -> bytes:
    """Key of a `MissedRecord`."""
    return MISSED + account


def get_infraction_key(account: Address, height: int) -> bytes:
    """Key of an `InfractionRecord` of two votes: one a validator and height."""
    return INFRACTION + account + height.to_bytes(8, "big")


def get_attack_key(account: Address) -> bytes:
    """Key of an `InfractionRecord` of an attack on light clients: one a validator."""
    return INFRACTION + account
