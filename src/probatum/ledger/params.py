"""The network's parameters: one table, with names, bounds, defaults and what each is for.

They are a record of the state like any other (`PARAMS_KEY`), set by the genesis document; spans
are in blocks. Limits of encodings are not here but in `protocol.limits`. Must not know who reads
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias, assert_never, get_args, get_type_hints

import msgspec
from msgspec import Meta

from probatum.protocol import limits
from probatum.protocol.encoding import LedgerValue, decode
from probatum.protocol.parties import Role
from probatum.protocol.primitives import AMOUNT_BOUND, UNITS_PER_TOKEN
from probatum.protocol.records import OffenceKind

__all__ = [
    "Parameter",
    "Params",
    "decode_params",
    "get_minimum_stake",
    "get_slash",
    "list_parameters",
]

_MAXIMUM = AMOUNT_BOUND - 1
_SPAN = 10_000_000

_MinFee: TypeAlias = Annotated[
    int,
    Meta(ge=0, le=_MAXIMUM, description="Least fee of a transaction; every fee is burned."),
]
_MinStakeGateway: TypeAlias = Annotated[
    int,
    Meta(ge=0, le=_MAXIMUM, description="Bonded stake without which no gateway acts."),
]
_MinStakeInference: TypeAlias = Annotated[
    int,
    Meta(ge=0, le=_MAXIMUM, description="Bonded stake without which no inference node acts."),
]
_UnbondingBlocks: TypeAlias = Annotated[
    int,
    Meta(ge=1, le=_SPAN, description="Blocks from unstaking until the units can be withdrawn."),
]
_IncludeWindow: TypeAlias = Annotated[
    int,
    Meta(ge=1, le=_SPAN, description="Blocks a receipt gives its node to settle a checkpoint."),
]
_AnswerWindow: TypeAlias = Annotated[
    int,
    Meta(ge=1, le=_SPAN, description="Blocks a hand-over gives its taker to answer."),
]
_HeartbeatWindow: TypeAlias = Annotated[
    int,
    Meta(ge=1, le=_SPAN, description="Blocks after a heartbeat for which a node counts as alive."),
]
_ChallengeWindow: TypeAlias = Annotated[
    int,
    Meta(ge=1, le=_SPAN, description="Blocks a challenge gives a node to settle the receipt."),
]
_ChallengeBond: TypeAlias = Annotated[
    int,
    Meta(ge=0, le=_MAXIMUM, description="Bond of a challenge, given back when it ends."),
]
_LateFee: TypeAlias = Annotated[
    int,
    Meta(ge=0, le=_MAXIMUM, description="Burned of a node's stake for a receipt settled late."),
]
_SlashEntry: TypeAlias = Annotated[
    int,
    Meta(ge=0, le=_MAXIMUM, description="Slashed where one index was promised to two entries."),
]
_SlashFork: TypeAlias = Annotated[
    int,
    Meta(ge=0, le=_MAXIMUM, description="Slashed for a session signed as two different logs."),
]
_SlashOmission: TypeAlias = Annotated[
    int,
    Meta(ge=0, le=_MAXIMUM, description="Slashed for each receipt left out of the log."),
]
_SlashLoss: TypeAlias = Annotated[
    int,
    Meta(ge=0, le=_MAXIMUM, description="Slashed for a log lost again within an epoch."),
]
_EscrowDelay: TypeAlias = Annotated[
    int,
    Meta(ge=1, le=_SPAN, description="Blocks a payee has to collect after an escrow is closed."),
]
_SlashCharge: TypeAlias = Annotated[
    int,
    Meta(ge=0, le=_MAXIMUM, description="Slashed for charging twice for one piece of work."),
]
_OpenEscrow: TypeAlias = Annotated[
    int,
    Meta(ge=0, le=_MAXIMUM, description="Burned of who opens an escrow: its record stays."),
]
_LossEpoch: TypeAlias = Annotated[
    int,
    Meta(ge=1, le=_SPAN, description="Blocks after a lost log in which another one costs stake."),
]
_ReporterShare: TypeAlias = Annotated[
    int,
    Meta(
        ge=0,
        le=500,
        description="Thousandths of a slash that its reporter gets; the rest is burned.",
    ),
]


class Params(LedgerValue, frozen=True, kw_only=True):
    """All parameters; `list_parameters` says what each is for.

    The defaults suit blocks of a second: a receipt is settled within 40 s, a node that fell
    silent leaves routing after 30 s, unbonding takes ten minutes: longer than a receipt's
    window and a challenge's together, so nobody is gone before they can be convicted. A node may
    lose its log once a day. A payee can settle twice while an escrow closes.
    """

    min_fee_units: _MinFee = 1_000
    min_stake_gateway_units: _MinStakeGateway = UNITS_PER_TOKEN
    min_stake_inference_units: _MinStakeInference = UNITS_PER_TOKEN
    unbonding_blocks: _UnbondingBlocks = 600
    include_window_blocks: _IncludeWindow = 40
    answer_window_blocks: _AnswerWindow = 30
    heartbeat_window_blocks: _HeartbeatWindow = 30
    challenge_window_blocks: _ChallengeWindow = 60
    challenge_bond_units: _ChallengeBond = UNITS_PER_TOKEN // 100
    late_fee_units: _LateFee = 10_000
    slash_entry_units: _SlashEntry = UNITS_PER_TOKEN
    slash_fork_units: _SlashFork = UNITS_PER_TOKEN
    slash_omission_units: _SlashOmission = UNITS_PER_TOKEN // 10
    reporter_share_permille: _ReporterShare = 100
    slash_loss_units: _SlashLoss = UNITS_PER_TOKEN // 10
    loss_epoch_blocks: _LossEpoch = 86_400
    escrow_delay_blocks: _EscrowDelay = 200
    slash_charge_units: _SlashCharge = UNITS_PER_TOKEN
    open_escrow_units: _OpenEscrow = UNITS_PER_TOKEN // 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One row of the table."""

    name: str
    default: int
    description: str


def list_parameters(table: type[LedgerValue] = Params) -> tuple[Parameter, ...]:
    """List name, default and purpose of every parameter of a table, in the order of encoding.

    Args:
        table: `Params`, or `consensus_params.ConsensusParams`.
    """
    hints: dict[str, Any] = get_type_hints(table, include_extras=True)
    return tuple(
        Parameter(
            name=field.name,
            default=field.default,
            description=get_args(hints[field.name])[1].description or "",
        )
        for field in msgspec.structs.fields(table)
    )


def decode_params(value: bytes) -> Params:
    """Decode the record under `PARAMS_KEY`. Raises Refusal `encoding.*`."""
    return decode(Params, value, limit_bytes=limits.STATE_VALUE_BYTES)


def get_minimum_stake(params: Params, roles: tuple[Role, ...]) -> int:
    """Sum what each role must have bonded: the duty of one role is not covered by another's."""
    minimum = {
        "gateway": params.min_stake_gateway_units,
        "inference": params.min_stake_inference_units,
    }
    return sum(minimum[role] for role in roles)


def get_slash(params: Params, kind: OffenceKind) -> int:
    """Get the stake that one conviction costs."""
    match kind:
        case "charge":
            return params.slash_charge_units
        case "entry":
            return params.slash_entry_units
        case "fork":
            return params.slash_fork_units
        case "loss":
            return params.slash_loss_units
        case "omission":
            return params.slash_omission_units
        case _:
            assert_never(kind)
