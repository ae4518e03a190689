"""What an adapter does for an engine that somebody else runs (`TEXT-2`).

Token ids go in and come out; texts are nobody's evidence. How an engine samples is its own affair:
it is told a temperature, a number of candidates and a seed. Must not know sockets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from probatum.errors import Fault, Refusal
from probatum.protocol.logprobs import TokenLogprobs, round_logprob
from probatum.runtime.upstream.call import Call

__all__ = [
    "Candidate",
    "EngineFacts",
    "Place",
    "SamplingRule",
    "Upstream",
    "WeighedRun",
    "make_rule",
    "read_logprobs",
    "refuse_reply",
]

_SEED_BITS: Final = (1 << 31) - 1
"""Every engine takes seeds of 31 bits; with more, some mean chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingRule:
    """How an engine is asked to choose.

    Attributes:
        temperature: 0 for the likeliest token.
        top_k: Candidates at each place.
        key: 32 bytes that seeds are made of.
    """

    temperature: float
    top_k: int
    key: bytes

    def make_seed(self, place: int) -> int:
        """Make the seed of what is chosen from a place on: below 2^31."""
        digest = hashlib.sha256(self.key + place.to_bytes(8, "big")).digest()
        return int.from_bytes(digest[:4], "big") & _SEED_BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A token and the natural logarithm of its probability, before temperature and top_k."""

    id: int
    logprob: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What an engine says of one place of an answer.

    Attributes:
        given: Of the answer's token; None where the engine does not say.
        top: The likeliest tokens, likeliest first.
    """

    given: float | None
    top: tuple[Candidate, ...]


WeighedRun: TypeAlias = tuple[tuple[int, ...], tuple[Place, ...]]
"""Tokens, and what the engine says of the place of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """What an engine says of itself: its word, which nobody checks.

    Attributes:
        name: The model as it is served.
        context: Tokens of prompt and answer; None where it does not say.
        build: The engine's version; empty where it does not say.
    """

    name: str
    context: int | None
    build: str


class Upstream(Protocol):
    """An engine. All calls block, and end by `Call.cancel` from another thread."""

    def generate(
        self,
        prompt: tuple[int, ...],
        rule: SamplingRule,
        limit: int,
        stop_ids: tuple[int, ...],
        call: Call,
    ) -> Iterator[tuple[int, ...]]:
        """Have a text written, and give its tokens in runs as they come.

        The last token is a stop token, or the one at the limit.

        Args:
            prompt: Tokens, at least one.
            rule: What the engine is asked.
            limit: Most tokens.
            stop_ids: Tokens that end the text.
            call: Ends it, and bounds its time.

        Raises:
            Fault: `upstream.*`.
        """
        ...

    def generate_weighed(
        self,
        prompt: tuple[int, ...],
        rule: SamplingRule,
        limit: int,
        stop_ids: tuple[int, ...],
        top: int,
        call: Call,
    ) -> Iterator[WeighedRun]:
        """Have a text written as by `generate`, and its tokens weighed.

        Args:
            prompt: As for `generate`.
            rule: Likewise.
            limit: Likewise.
            stop_ids: Likewise.
            top: How many of the likeliest are wanted at each place.
            call: As for `generate`.

        Raises:
            Fault: `upstream.*`; `upstream.no-logprobs` if this engine cannot.
        """
        ...

    def score(
        self, prompt: tuple[int, ...], answer: tuple[int, ...], top: int, call: Call
    ) -> tuple[Place, ...]:
        """Have an answer's tokens weighed, each after all before it.

        Args:
            prompt: Tokens, at least one.
            answer: Tokens, at least one.
            top: How many of the likeliest are wanted at each place.
            call: As for `generate`.

        Raises:
            Fault: `upstream.*`; `upstream.no-score` if this engine cannot.
        """
        ...

    def profile(self, call: Call) -> EngineFacts:
        """Ask the engine what it is. Raises Fault `upstream.*`."""
        ...


def make_rule(temperature: float, top_k: int, nonce: bytes, choice: int) -> SamplingRule:
    """Make what an engine is asked of what a request says.

    Args:
        temperature: Of the request.
        top_k: Of the request.
        nonce: 32 bytes of its facts.
        choice: Number of the answer among those of one request.
    """
    key = hashlib.sha256(b"probatum/engine-seed/1" + nonce + choice.to_bytes(8, "big")).digest()
    return SamplingRule(temperature=temperature, top_k=top_k, key=key)


def read_logprobs(place: Place, token: int, top: int) -> TokenLogprobs:
    """Read what an engine says of a place as it is passed on.

    Raises:
        Fault: `upstream.no-logprobs`, `upstream.bad-reply`.
    """
    try:
        said = {one.id: round_logprob(one.logprob) for one in reversed(place.top)}
        given = None if place.given is None else round_logprob(place.given)
    except Refusal as refusal:
        raise refuse_reply(refusal.message) from None
    ranked = tuple(sorted(said.items(), key=lambda item: (-item[1], item[0]))[:top])
    chosen = said.get(token, given)
    if chosen is None:
        raise Fault(
            "upstream.no-logprobs",
            "the upstream engine does not say how likely it held a token",
            hint="ask without logprobs",
            retryable=False,
        )
    if token not in dict(ranked) and len(ranked) == top and ranked:
        chosen = min(chosen, ranked[-1][1])  # what two roundings of one number may put above
    return TokenLogprobs(chosen=chosen, top=ranked)


def refuse_reply(why: str) -> Fault:
    """Make the fault of a reply that is not to be used; `why` is ours, not the engine's words."""
    return Fault(
        "upstream.bad-reply",
        f"the upstream engine's reply is not to be used: {why}",
        hint="look whether the right engine listens there, in a version that is known",
    )
