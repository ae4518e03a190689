"""Whether the validators of a height signed its header, and how much of a trusted set did.

Every vote that is shown must be a valid one, of the validator at its place, by the engine's own
rule of Ed25519: whatever it decided by, a light client has to count, or a proposer that leaves out
others' votes could keep its block from ever being believed. Must not know what is believed already.
"""

from __future__ import annotations

from typing import Final

from probatum.consensus.cometbft.light.hashing import (
    compute_engine_hash,
    compute_validators_hash,
    make_sign_bytes,
)
from probatum.consensus.cometbft.light.zip215 import is_signature
from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.commits import (
    ABSENT,
    COMMITTED,
    Commit,
    CommitVote,
    EngineTime,
    Validator,
)
from probatum.protocol.ed25519 import check_signature
from probatum.protocol.headers import CommitSeal
from probatum.protocol.primitives import make_operating_key, make_operating_signature
from probatum.protocol.validators import compute_consensus_address

__all__ = [
    "check_commit",
    "check_overlap",
    "check_validators",
    "compute_total_power",
]

_NO_TIME: Final = EngineTime(seconds=-62_135_596_800, nanos=0)
_NO_VOTE: Final = CommitVote(flag=ABSENT, validator=b"", time=_NO_TIME, signature=b"")


def check_validators(validators: tuple[Validator, ...]) -> int:
    """Check that a set names nobody twice, and sum its power.

    Raises:
        Refusal: `light.duplicate-validator`, `light.too-much-power`, `light.no-validators`.
    """
    if not validators:
        raise Refusal("light.no-validators", "an empty set of validators proves nothing")
    if len({validator.key for validator in validators}) != len(validators):
        raise Refusal("light.duplicate-validator", "a validator is in the set more than once")
    total = compute_total_power(validators)
    if total > limits.TOTAL_POWER:
        raise Refusal("light.too-much-power", f"a set with a power of {total}")
    return total


def compute_total_power(validators: tuple[Validator, ...]) -> int:
    """Sum a set's power."""
    return sum(validator.power for validator in validators)


def check_commit(seal: CommitSeal) -> None:
    """Check that more than two thirds of a set, by power, signed a header.

    1. The set is the one that the header names, and names nobody twice.
    2. The commit is of the header's height and hash, with a place for each validator.
    3. Every vote is absent and empty, or signed by the validator at its place.
    4. The votes for the block have more than two thirds of the power. Votes for nil are valid and
       do not count.

    Raises:
        Refusal: `light.*`, at the first step that fails.
    """
    header, commit, validators = seal.header, seal.commit, seal.validators
    # 1.
    total = check_validators(validators)
    if compute_validators_hash(validators) != header.validators_hash:
        raise Refusal("light.other-validators", "the header names another set of validators")
    # 2.
    if commit.height != header.height:
        raise Refusal(
            "light.other-height",
            f"the commit is of height {commit.height}, the header of {header.height}",
        )
    if commit.block.hash != compute_engine_hash(header):
        raise Refusal("light.other-hash", "the votes are for another block than this header's")
    if len(commit.votes) != len(validators):
        raise Refusal(
            "light.wrong-count", f"{len(commit.votes)} votes of {len(validators)} validators"
        )
    # 3.
    power = 0
    for validator, vote in zip(validators, commit.votes, strict=True):
        _check_vote(header.chain_id, commit, validator, vote)
        if vote.flag == COMMITTED:
            power += validator.power
    # 4.
    if 3 * power <= 2 * total:
        raise Refusal(
            "light.too-little-power",
            f"{power} of a power of {total} signed, which is not more than two thirds",
        )


def _check_vote(chain_id: str, commit: Commit, validator: Validator, vote: CommitVote) -> None:
    if vote.flag == ABSENT:
        if vote != _NO_VOTE:
            raise Refusal("light.bad-vote", "a vote that is absent holds something")
        return
    if vote.validator != compute_consensus_address(validator.key):
        raise Refusal("light.other-validator", "a vote stands at another validator's place")
    if len(vote.signature) != 64:
        raise Refusal("light.bad-vote", f"a signature of {len(vote.signature)} bytes")
    message = make_sign_bytes(chain_id, commit, vote)
    if not _is_signed(validator, message, vote.signature):
        raise Refusal(
            "light.bad-signature", f"the vote of {vote.validator.hex()} is not signed by it"
        )


def _is_signed(validator: Validator, message: bytes, signature: bytes) -> bool:
    """Tell whether the engine takes a signature; what our strict rule takes, it takes too."""
    try:
        check_signature(
            make_operating_key(validator.key), message, make_operating_signature(signature)
        )
    except Refusal:
        return is_signature(validator.key, message, signature)
    return True


def check_overlap(seal: CommitSeal, trusted: tuple[Validator, ...]) -> None:
    """Check that more than a third of a trusted set, by its power then, signed a checked header.

    Less than a third may be against us at any time, so somebody of those is honest, and an honest
    validator signs no second header of a height.

    Args:
        seal: Its commit was checked by `check_commit`.
        trusted: The set that is trusted.

    Raises:
        Refusal: `light.too-little-trust`, and as `check_validators`.
    """
    total = check_validators(trusted)
    powers = {validator.key: validator.power for validator in trusted}
    power = sum(
        powers.get(validator.key, 0)
        for validator, vote in zip(seal.validators, seal.commit.votes, strict=True)
        if vote.flag == COMMITTED
    )
    if 3 * power <= total:
        raise Refusal(
            "light.too-little-trust",
            f"{power} of a trusted power of {total} signed, which is not more than a third",
            hint="too many validators came and went: check a header between the two first, or "
            "have a newer trust file",
        )
