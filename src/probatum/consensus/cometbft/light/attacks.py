"""A header that validators sealed beside the chain, as evidence for the engine (`LIGHT-1`).

CometBFT calls it an attack on light clients: it finds out again who is to blame, and refuses
evidence that blames others. So what is made here names exactly those, in its order. Must not know
who showed the header, nor how the engine is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from probatum.consensus.cometbft.light.commits import check_commit, compute_total_power
from probatum.consensus.cometbft.light.hashing import compute_engine_hash
from probatum.errors import Refusal
from probatum.protocol.commits import COMMITTED, CommitVote, EngineTime, Validator
from probatum.protocol.headers import CommitSeal
from probatum.protocol.validators import compute_consensus_address

__all__ = ["Attack", "check_attack", "list_common_heights", "make_attack"]

_DERIVED: Final = (
    "validators_hash",
    "next_validators_hash",
    "consensus_hash",
    "app_hash",
    "last_results_hash",
)
"""What follows from the blocks before: whoever signed another value made it up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """Evidence of an attack.

    Attributes:
        seal: The header that is not the chain's, with its commit and set.
        common_height: The last height whose set has to answer for it.
        common_time: The time of that height.
        total_power: Of that height's set.
        convicted: Who of them signed, by power, then by address.
    """

    seal: CommitSeal
    common_height: int
    common_time: EngineTime
    total_power: int
    convicted: tuple[Validator, ...]


def check_attack(seal: CommitSeal, own: CommitSeal) -> None:
    """Check that a header is sealed, and not the chain's.

    Args:
        seal: The header in question.
        own: The chain's of the same height.

    Raises:
        Refusal: `light.own-header`, and as `commits.check_commit`.
    """
    if compute_engine_hash(seal.header) == compute_engine_hash(own.header):
        raise Refusal(
            "light.own-header",
            f"this is the chain's header of height {seal.header.height}: nobody broke a rule",
        )
    check_commit(seal)


def _is_made_up(seal: CommitSeal, own: CommitSeal) -> bool:
    """Whether a header says what does not follow from the blocks before it."""
    return any(getattr(seal.header, name) != getattr(own.header, name) for name in _DERIVED)


def list_common_heights(seal: CommitSeal, own: CommitSeal, believed: int) -> tuple[int, ...]:
    """List the heights whose sets may have to answer for a header, the best first.

    Args:
        seal: The header.
        own: The chain's of the same height.
        believed: A height that somebody believed before.
    """
    height = seal.header.height
    if not _is_made_up(seal, own):
        return (height,)
    wanted = (height - 1, believed, believed + 1)
    return tuple(dict.fromkeys(found for found in wanted if 0 < found < height))


def make_attack(seal: CommitSeal, own: CommitSeal, common: CommitSeal) -> Attack:
    """Make the evidence, as the engine works it out.

    Args:
        seal: A header that `check_attack` found to be none of the chain's.
        own: The chain's of the same height.
        common: The chain's of the common height; `check_overlap` found its set in `seal`.

    Raises:
        Refusal: `light.nobody-convicted` if two blocks of one height were decided in two rounds:
            from votes alone nobody can tell then who broke a rule.
    """
    if _is_made_up(seal, own):
        signed = {vote.validator for vote in seal.commit.votes if vote.flag == COMMITTED}
        guilty = [one for one in common.validators if _address(one) in signed]
    elif seal.commit.round == own.commit.round:
        pairs = zip(seal.validators, seal.commit.votes, own.commit.votes, strict=True)
        guilty = [one for one, vote, other in pairs if _is_for_both(vote, other)]
    else:
        guilty = []
    if not guilty:
        raise Refusal(
            "light.nobody-convicted",
            f"two blocks of height {seal.header.height}, decided in rounds {seal.commit.round} "
            f"and {own.commit.round}: no validator provably signed both",
            hint="a third of the power broke the rules: stop, and settle it with the operators",
        )
    return Attack(
        seal=seal,
        common_height=common.header.height,
        common_time=common.header.time,
        total_power=compute_total_power(common.validators),
        convicted=tuple(sorted(guilty, key=lambda one: (-one.power, _address(one)))),
    )


def _address(validator: Validator) -> bytes:
    return compute_consensus_address(validator.key)


def _is_for_both(vote: CommitVote, other: CommitVote) -> bool:
    return vote.flag == COMMITTED == other.flag
