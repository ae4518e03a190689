"""Bodies by which accounts validate, on networks whose engine has validators (`VAL-1`).

Must not know handlers (`probatum.ledger.handlers`, one file a kind).
"""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from probatum.protocol.encoding import LedgerValue
from probatum.protocol.primitives import Amount, ConsensusKey, OperatingSignature
from probatum.protocol.transactions.fields import FieldTypes

__all__ = [
    "RegisterValidator",
    "StakeConsensus",
    "Unjail",
    "UnstakeConsensus",
    "ValidatorBody",
    "WithdrawConsensus",
]


class RegisterValidator(LedgerValue, frozen=True, kw_only=True, tag=32):
    """Make a key the one that the sender votes by; replaces the one before it.

    `possession` is the key's own signature for this sender and chain (see
    `probatum.protocol.transactions.possession`): nobody registers a key that they do not hold.
    """

    EIP712: ClassVar[FieldTypes] = (("key", "bytes32"), ("possession", "bytes"))
    key: ConsensusKey
    possession: OperatingSignature


class StakeConsensus(LedgerValue, frozen=True, kw_only=True, tag=33):
    """Bond units of one's own balance as consensus stake."""

    EIP712: ClassVar[FieldTypes] = (("amount", "uint64"),)
    amount: Amount


class UnstakeConsensus(LedgerValue, frozen=True, kw_only=True, tag=34):
    """Begin to unbond consensus stake; it stays slashable until it matures."""

    EIP712: ClassVar[FieldTypes] = (("amount", "uint64"),)
    amount: Amount


class WithdrawConsensus(LedgerValue, frozen=True, kw_only=True, tag=35):
    """Return all matured consensus stake to the balance."""

    EIP712: ClassVar[FieldTypes] = ()


class Unjail(LedgerValue, frozen=True, kw_only=True, tag=36):
    """Leave the jail that missed votes lead to, once its time is over."""

    EIP712: ClassVar[FieldTypes] = ()


ValidatorBody: TypeAlias = (
    RegisterValidator | StakeConsensus | UnstakeConsensus | WithdrawConsensus | Unjail
)
"""Bodies of those who validate or are to."""
