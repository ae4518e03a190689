"""Whether a header is to be believed, by whichever engine sealed it (`HEADER-1`, `LIGHT-1`).

One call for receipts, followers and commands, so that nothing above this room asks which engine
a network runs on. `check_header` starts from the trust file each time; who follows a chain keeps
`Believed` and moves it on, so that validators may change. Must not know where headers come from.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, assert_never

from probatum.consensus.cometbft.light.seals import check_sealed, check_subject
from probatum.consensus.cometbft.light.states import (
    LightState,
    start_from_seal,
    start_from_trust,
)
from probatum.errors import Misuse, Refusal
from probatum.protocol.headers import CommitSeal, Header, SignedHeader
from probatum.protocol.trust import (
    CommitTrust,
    HeaderCheck,
    KeyTrust,
    Trust,
    TrustedValidator,
    check_signed_header,
)

__all__ = [
    "Believed",
    "ForkFound",
    "believe",
    "check_header",
    "check_next",
    "find_way",
    "make_header_check",
    "renew_trust",
]

_STEPS: Final = 512
"""Checks on one way; halving a chain of a million blocks a hundred times needs fewer."""


class ForkFound(Refusal):
    """Validators sealed two headers of one height: `light.fork`.

    Attributes:
        headers: The one that was believed, unless that is the trust file's own, and the other.
    """

    headers: tuple[SignedHeader, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Believed:
    """What somebody believes of a chain so far.

    Attributes:
        trust: Where it began.
        state: What its engine's headers made of it; None where one key signs them all.
        signed: The header that `state` is of; None where it is the trust file's own.
    """

    trust: Trust
    state: LightState | None
    signed: SignedHeader | None = None

    @property
    def height(self) -> int:
        """The least height of ours that can be checked from here on."""
        return max(0, self.state.height - 1) if self.state else 0


def believe(trust: Trust, seen: SignedHeader | None = None) -> Believed:
    """Begin from a trust file, or from a later header that was checked in an earlier life.

    Args:
        trust: The trust file.
        seen: A header that `check_next` accepted before, from one's own journal.
    """
    match trust:
        case KeyTrust():
            return Believed(trust=trust, state=None)
        case CommitTrust():
            state = start_from_trust(trust)
            if seen is not None and isinstance(seen.seal, CommitSeal):
                later = start_from_seal(check_subject(seen))
                if later.height > state.height:
                    return Believed(trust=trust, state=later, signed=seen)
            return Believed(trust=trust, state=state)
        case _:
            assert_never(trust)


def check_next(believed: Believed, signed: SignedHeader, now_ms: int) -> Believed:
    """Check a header, and move on to it.

    Args:
        believed: What is believed.
        signed: A header not below what is believed, if validators seal it.
        now_ms: Unix time, of whoever checks.

    Raises:
        Refusal: `trust.*`, `light.*`, `ed25519.bad-signature`; `ForkFound`, with both headers.
    """
    match believed.trust:
        case KeyTrust() as trust:
            check_signed_header(trust, signed)
            return believed
        case CommitTrust() as trust:
            assert believed.state is not None, "believe has made one"
            try:
                state = check_sealed(trust, believed.state, signed, now_ms)
            except Refusal as refusal:
                if refusal.code != "light.fork":
                    raise
                found = ForkFound(refusal.code, refusal.message, hint=refusal.hint)
                found.headers = (*filter(None, (believed.signed,)), signed)
                raise found from None
            return replace(believed, state=state, signed=signed)
        case _:
            assert_never(believed.trust)


def find_way(
    believed: Believed, signed: SignedHeader, now_ms: int
) -> Generator[int, SignedHeader, Believed]:
    """Check a header that may lie too far ahead for one step, by headers between.

    Yields the heights of headers that it needs, and is sent these, from anybody.

    Args:
        believed: What is believed.
        signed: The header to get to.
        now_ms: Unix time.

    Returns:
        What is believed then.

    Raises:
        Refusal: as `check_next`; `light.wrong-header` if another height's was sent;
            `light.too-many-steps`.
    """
    ahead = [signed]
    for _ in range(_STEPS):
        try:
            believed = check_next(believed, ahead[-1], now_ms)
        except Refusal as refusal:
            height = (believed.height + ahead[-1].header.height) // 2
            if refusal.code != "light.too-little-trust" or height <= believed.height:
                raise
            between = yield height
            if between.header.height != height:
                raise Refusal(
                    "light.wrong-header",
                    f"a header of height {between.header.height} came for that of {height}",
                ) from None
            ahead.append(between)
        else:
            ahead.pop()
            if not ahead:
                return believed
    raise Refusal("light.too-many-steps", f"height {signed.header.height} is out of reach")


def check_header(trust: Trust, signed: SignedHeader, now_ms: int) -> Header:
    """Check that a header is of the trusted chain and sealed by whom the trust file leads to.

    Args:
        trust: The trust file.
        signed: The header.
        now_ms: Unix time, of whoever checks; a key's trust has no end.

    Raises:
        Refusal: as `check_next`.
    """
    check_next(believe(trust), signed, now_ms)
    return signed.header


def make_header_check(
    trust: Trust, now_ms: int, *, seen: SignedHeader | None = None
) -> HeaderCheck:
    """Make the check that `probatum.evidence` needs of a settled bundle.

    Args:
        trust: The trust file.
        now_ms: Unix time.
        seen: A header that was checked before and lies nearer, see `believe`.
    """
    return partial(_check, believe(trust, seen), now_ms)


def _check(believed: Believed, now_ms: int, signed: SignedHeader) -> Header:
    check_next(believed, signed, now_ms)
    return signed.header


def renew_trust(believed: Believed, after: SignedHeader, now_ms: int) -> CommitTrust:
    """Make a trust file of what is believed now, before the trusting period is over.

    Args:
        believed: A header that was checked.
        after: The header of the next height, whose seal shows the validators of that height.
        now_ms: Unix time.

    Raises:
        Misuse: `trusting.nothing-to-renew` if a key is trusted: that has no end.
        Refusal: as `check_next`; `light.not-next` if `after` does not follow: is of another height,
            or cites another block, so that whoever believes `after` may believe `believed`.
    """
    trust, state = believed.trust, believed.state
    if not isinstance(trust, CommitTrust) or state is None:
        raise Misuse("trusting.nothing-to-renew", "a trust file of one key has no end")
    check_next(believed, after, now_ms)
    seal = check_subject(after)
    header = seal.header
    # Genesis is no block that another one could cite.
    is_cited = header.last_block.hash == state.hash or not state.height
    if header.height != state.height + 1 or not is_cited:
        raise Refusal(
            "light.not-next", "the header after the one to trust, which cites it, is needed"
        )
    return CommitTrust(
        format=trust.format,
        chain_id=trust.chain_id,
        genesis_hash=trust.genesis_hash,
        engine=trust.engine,
        height=state.height,
        header_hash=state.hash.hex(),
        time_ms=state.time_ns // 1_000_000,
        trusting_period_ms=trust.trusting_period_ms,
        validators=tuple(
            TrustedValidator(key=validator.key.hex(), power=validator.power)
            for validator in seal.validators
        ),
    )
