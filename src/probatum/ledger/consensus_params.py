"""The parameters of validators: a second table, on networks whose engine has several (`VAL-1`).

A record of the state under a key of its own, so that a chain without validators has nothing of
it. Must not know who reads them. Read next: `validators`.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.encoding import LedgerValue, decode
from probatum.protocol.primitives import AMOUNT_BOUND, UNITS_PER_TOKEN

__all__ = ["ConsensusParams", "check_consensus_params", "decode_consensus_params"]

_DAY_MS = 86_400_000
_SPAN = 10_000_000
_SPAN_MS = 3_650 * _DAY_MS

_MinStake: TypeAlias = Annotated[
    int,
    Meta(
        ge=UNITS_PER_TOKEN,
        le=AMOUNT_BOUND - 1,
        description="Bonded consensus stake without which nobody validates.",
    ),
]
_MaxValidators: TypeAlias = Annotated[
    int,
    Meta(ge=1, le=limits.VALIDATORS, description="Seats; those with the most stake have them."),
]
_VoteWindow: TypeAlias = Annotated[
    int,
    Meta(ge=1, le=_SPAN, description="Blocks over which missed votes are counted."),
]
_LeastSigned: TypeAlias = Annotated[
    int,
    Meta(ge=0, le=1000, description="Thousandths of a window's blocks that must be voted on."),
]
_JailBlocks: TypeAlias = Annotated[
    int,
    Meta(ge=1, le=_SPAN, description="Blocks in jail for missed votes before it can be left."),
]
_SlashDoubleSign: TypeAlias = Annotated[
    int,
    Meta(ge=0, le=1000, description="Thousandths of the power misused that are burned."),
]
_SlashDowntime: TypeAlias = Annotated[
    int,
    Meta(ge=0, le=1000, description="Thousandths of bonded stake burned for missed votes."),
]
_UnbondingBlocks: TypeAlias = Annotated[
    int,
    Meta(ge=1, le=_SPAN, description="Blocks from unstaking until units can be withdrawn."),
]
_UnbondingTime: TypeAlias = Annotated[
    int,
    Meta(ge=1, le=_SPAN_MS, description="Milliseconds that must have passed too, by headers."),
]
_EvidenceBlocks: TypeAlias = Annotated[
    int,
    Meta(ge=1, le=_SPAN, description="Age in blocks past which evidence may expire."),
]
_EvidenceTime: TypeAlias = Annotated[
    int,
    Meta(ge=1, le=_SPAN_MS, description="Age in milliseconds that it must have too, to expire."),
]


class ConsensusParams(LedgerValue, frozen=True, kw_only=True):
    """All parameters of validators; `params.list_parameters` says what each is for.

    The defaults suit blocks of a second: a validator may be down for eight minutes of each
    seventeen; evidence counts for two days at least; stake stays for three weeks, so a light
    client may be away for nearly as long.
    """

    min_consensus_stake_units: _MinStake = UNITS_PER_TOKEN
    max_validators: _MaxValidators = 100
    vote_window_blocks: _VoteWindow = 1_000
    least_signed_permille: _LeastSigned = 500
    jail_blocks: _JailBlocks = 600
    slash_double_sign_permille: _SlashDoubleSign = 50
    slash_downtime_permille: _SlashDowntime = 1
    consensus_unbonding_blocks: _UnbondingBlocks = 200_000
    consensus_unbonding_ms: _UnbondingTime = 21 * _DAY_MS
    evidence_age_blocks: _EvidenceBlocks = 100_000
    evidence_age_ms: _EvidenceTime = 2 * _DAY_MS


def check_consensus_params(params: ConsensusParams) -> None:
    """Check that nobody can be gone, stake and all, while evidence still counts.

    Evidence expires once it is older than *both* of its ages; stake is free once *both* of its
    spans are over: each span must be the longer one.

    Raises:
        Refusal: `ledger.evidence-outlives-stake`.
    """
    if (
        params.evidence_age_blocks >= params.consensus_unbonding_blocks
        or params.evidence_age_ms >= params.consensus_unbonding_ms
    ):
        raise Refusal(
            "ledger.evidence-outlives-stake",
            "evidence would count for longer than stake can be slashed",
            hint="unbonding takes longer than evidence counts, by blocks and by time",
        )


def decode_consensus_params(value: bytes) -> ConsensusParams:
    """Decode the record under `CONSENSUS_PARAMS_KEY`. Raises Refusal `encoding.*`."""
    return decode(ConsensusParams, value, limit_bytes=limits.STATE_VALUE_BYTES)
