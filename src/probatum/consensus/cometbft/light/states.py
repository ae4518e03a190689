"""What a light client believes of the engine's chain, and how that moves on (`LIGHT-1`).

From one believed header to any later one: the next height by the hash of its validators, others
by a third of the believed set. Time is an argument. Must not know headers of ours (`seals`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from probatum.consensus.cometbft.light.commits import check_commit, check_overlap
from probatum.consensus.cometbft.light.hashing import (
    compute_engine_hash,
    compute_validators_hash,
)
from probatum.errors import Refusal
from probatum.protocol.commits import EngineTime, Validator
from probatum.protocol.headers import CommitSeal
from probatum.protocol.hexes import digest_from_hex, key_from_hex
from probatum.protocol.primitives import Digest, make_consensus_key, make_digest
from probatum.protocol.trust import CommitTrust

__all__ = ["DRIFT_MS", "LightState", "advance", "start_from_seal", "start_from_trust"]

DRIFT_MS: Final = 10_000
"""A header may be so far ahead of this machine's clock."""
_NANOS_A_MS: Final = 1_000_000
_NANOS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LightState:
    """A header that is believed, and whom it makes believed.

    Attributes:
        height: Of the engine's header; 0 stands for genesis.
        hash: Its hash.
        time_ns: Its time, Unix, in nanoseconds.
        next_validators_hash: The set of the next height.
        validators: A set that is believed: of this height or the next.
    """

    height: int
    hash: Digest
    time_ns: int
    next_validators_hash: Digest
    validators: tuple[Validator, ...]


def _to_ns(time: EngineTime) -> int:
    return time.seconds * _NANOS + time.nanos


def start_from_trust(trust: CommitTrust) -> LightState:
    """Believe the header that a trust file names, and the set of the height after."""
    validators = tuple(
        Validator(key=make_consensus_key(key_from_hex(found.key)), power=found.power)
        for found in trust.validators
    )
    return LightState(
        height=trust.height,
        hash=digest_from_hex(trust.header_hash),
        time_ns=trust.time_ms * _NANOS_A_MS,
        next_validators_hash=compute_validators_hash(validators),
        validators=validators,
    )


def start_from_seal(seal: CommitSeal) -> LightState:
    """Believe a header that was checked before: `advance` gave it, here or in an earlier life."""
    header = seal.header
    return LightState(
        height=header.height,
        hash=compute_engine_hash(header),
        time_ns=_to_ns(header.time),
        next_validators_hash=make_digest(header.next_validators_hash),
        validators=seal.validators,
    )


def advance(
    state: LightState, seal: CommitSeal, *, now_ms: int, trusting_period_ms: int
) -> LightState:
    """Check an engine's header of the believed height or a later one, and believe it.

    1. The believed header is younger than the trusting period: its validators can still be
       punished for a second past.
    2. The new one is later in time if later in height.
    3. More than two thirds of its own set signed it (`check_commit`).
    4. Of the same height: it is the believed one. Of the next: its set is the one that was
       announced. Of any other: more than a third of the believed set signed it.
    5. It is not from the future. This comes last: what nobody sealed tells nothing of a clock.

    Args:
        state: What is believed.
        seal: The new header, its commit, its set.
        now_ms: Unix time, by the clock of whoever checks.
        trusting_period_ms: How long a believed header stays believed.

    Returns:
        What is believed then.

    Raises:
        Refusal: `light.*`; `light.fork` if two headers of one height are both signed, which only
            validators that break the rules can bring about: keep both, they are evidence.
    """
    header = seal.header
    time_ns = _to_ns(header.time)
    # 1. and 2.
    _check_times(state, header.height, time_ns, now_ms, trusting_period_ms)
    # 3.
    check_commit(seal)
    # 4.
    if header.height == state.height:
        if compute_engine_hash(header) != state.hash:
            check_overlap(seal, state.validators)
            raise Refusal(
                "light.fork",
                f"validators signed two blocks of height {header.height}",
                hint="keep both headers: they are evidence against who signed both",
            )
    elif header.height == state.height + 1:
        if header.validators_hash != state.next_validators_hash:
            raise Refusal(
                "light.other-next-validators",
                f"height {state.height} announced another set of validators than signed "
                f"height {header.height}",
            )
    else:
        check_overlap(seal, state.validators)
    # 5.
    if time_ns >= (now_ms + DRIFT_MS) * _NANOS_A_MS:
        raise Refusal(
            "light.from-the-future",
            f"the header of height {header.height} is ahead of this machine's clock",
            hint="set the clock (timedatectl set-ntp true)",
        )
    return state if header.height == state.height else start_from_seal(seal)


def _check_times(
    state: LightState, height: int, time_ns: int, now_ms: int, trusting_period_ms: int
) -> None:
    if state.time_ns + trusting_period_ms * _NANOS_A_MS <= now_ms * _NANOS_A_MS:
        raise Refusal(
            "light.expired",
            f"what is trusted, height {state.height}, is older than the trusting period",
            hint="have a newer trust file from somebody you trust, by another way than the network",
        )
    if height < state.height:
        raise Refusal(
            "light.before-trust",
            f"the header is of the engine's height {height}, what is trusted of {state.height}",
            hint="use a trust file of an earlier height; a receipt can be proven anew, against the "
            "last header: probatum receipt renew",
        )
    if height > state.height and time_ns <= state.time_ns:
        raise Refusal(
            "light.time-back", f"the time of height {height} is not after height {state.height}'s"
        )
