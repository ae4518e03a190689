"""Full nodes held against each other: who lags, who shows what its network never sealed.

Each is asked for its last header, and for the header of every lower height at which another one
ends: one that lags, or says so, must not keep the others from being compared. With a trust file
every header is proven, so a liar is named by its own answers; two proven headers of one height are
evidence against those who sealed both (`probatum.evidence.forks`), whoever showed them. Must not
know how to reach anybody, nor how findings are printed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from probatum.consensus.trusting import ForkFound, believe, find_way
from probatum.errors import Fault, ProbatumError, Refusal
from probatum.evidence.forks import Fork, is_contradiction, make_fork
from probatum.protocol.headers import SignedHeader
from probatum.protocol.messages import GetHeader, GotHeader, Message
from probatum.protocol.trust import Trust

__all__ = ["Ask", "Comparison", "Standing", "Told", "compare_ledgers"]

Ask: TypeAlias = Callable[[str, Message], Message]
"""Has a message answered by who is at an address; raises Refusal and Fault."""

Standing: TypeAlias = Literal["agrees", "differs", "lies", "forked", "behind", "silent"]
"""What came of one full node:

    agrees   its header of the common height is the others'
    differs  it is not, and nothing was proven, since there is no trust file
    lies     it shows a header that the trust file does not lead to
    forked   its header is proven, and so is another's, or the trust file's, that contradicts it
    behind   it is at a lower height than what the trust file names
    silent   it could not be asked
"""

_OF_OUR_OWN: Final = frozenset({"light.expired", "light.from-the-future"})
"""Refusals that may come from the trust file or this machine's clock: nobody is named by them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one full node showed.

    Attributes:
        last: Its last header, None if it showed none.
        common: Its header of the height that all were compared at.
        way: All headers of it that were believed, or contradict what is.
        code: Why it is not believed, if it is not.
        why: The same in words.
    """

    endpoint: str
    standing: Standing
    last: SignedHeader | None = None
    common: SignedHeader | None = None
    way: tuple[SignedHeader, ...] = ()
    code: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What came of all of them.

    Attributes:
        height: The height that all were compared at, or the lowest one at which some contradict
            each other; 0 if none was found.
        told: In the order of their addresses as given.
        fork: Two proven headers that contradict each other, if any were shown.
    """

    height: int
    told: tuple[Told, ...]
    fork: Fork | None

    @property
    def suspects(self) -> tuple[SignedHeader, ...]:
        """Headers some of which contradict others: somebody's validators sealed two pasts."""
        forked = (told.way for told in self.told if told.standing == "forked")
        return tuple(signed for way in forked for signed in way)


def compare_ledgers(
    endpoints: tuple[str, ...], ask: Ask, trust: Trust | None, now_ms: int
) -> Comparison:
    """Ask full nodes, and hold what they show against the trust file and each other.

    Args:
        endpoints: Their addresses.
        ask: How to ask one.
        trust: The trust file; without it headers are compared alone, and nobody is named.
        now_ms: Unix time.

    Raises:
        Refusal: `light.expired`, `light.from-the-future`: about the trust file or the clock.
    """
    found = [_look(endpoint, 0, ask, trust, now_ms) for endpoint in endpoints]
    heights = sorted({told.last.header.height for told in found if told.last is not None})
    lowest: dict[str, SignedHeader | None] = {}
    for height in heights:
        found = [_show(told, height, ask, trust, now_ms) for told in found]
        headers = [told.common for told in found if told.common is not None]
        other = next((one for one in headers if is_contradiction(one, headers[0])), None)
        if other is not None:
            split: Standing = "differs" if trust is None else "forked"
            return Comparison(
                height=height,
                told=tuple(
                    told if told.common is None else replace(told, standing=split) for told in found
                ),
                fork=None if trust is None else make_fork(headers[0], other),
            )
        lowest = lowest or {told.endpoint: told.common for told in found}
    return Comparison(
        height=heights[0] if heights else 0,
        told=tuple(
            replace(told, common=lowest.get(told.endpoint))
            if told.standing == "agrees"
            else replace(told, common=None)
            for told in found
        ),
        fork=None,
    )


def _show(told: Told, height: int, ask: Ask, trust: Trust | None, now_ms: int) -> Told:
    """Ask a full node that is believed so far, and is that high, for its header of a height."""
    last = told.last
    if told.standing != "agrees" or last is None or last.header.height < height:
        return replace(told, common=None)
    if last.header.height == height:
        return replace(told, common=last)
    seen = _look(told.endpoint, height, ask, trust, now_ms)
    if seen.last is None and seen.standing == "behind":
        # The trust file names a later height: what was compared so far has to do.
        return told
    return replace(seen, last=last, common=seen.last, way=(*told.way, *seen.way))


def _look(endpoint: str, height: int, ask: Ask, trust: Trust | None, now_ms: int) -> Told:
    """Ask for a header, the last one for height 0, and check it by what its node shows."""
    try:
        signed = _ask_header(endpoint, height, ask)
    except ProbatumError as error:
        return _tell(endpoint, "silent", error)
    if trust is None:
        return Told(endpoint=endpoint, standing="agrees", last=signed)
    way, shown = find_way(believe(trust), signed, now_ms), [signed]
    try:
        between = next(way)
        while True:
            try:
                shown.append(_ask_header(endpoint, between, ask))
            except ProbatumError as error:
                # Not to show a header, for whatever reason, is no lie.
                return _tell(endpoint, "silent", error)
            between = way.send(shown[-1])
    except StopIteration:
        return Told(endpoint=endpoint, standing="agrees", last=signed, way=tuple(shown))
    except ForkFound as fork:
        return replace(_tell(endpoint, "forked", fork), way=fork.headers)
    except Refusal as refusal:
        if refusal.code in _OF_OUR_OWN:
            raise
        is_behind = refusal.code == "light.before-trust"
        return _tell(endpoint, "behind" if is_behind else "lies", refusal)


def _ask_header(endpoint: str, height: int, ask: Ask) -> SignedHeader:
    reply = ask(endpoint, GetHeader(height=height))
    if not isinstance(reply, GotHeader) or height not in {0, reply.header.header.height}:
        raise Fault("client.wrong-reply", f"{endpoint} answered another question")
    return reply.header


def _tell(endpoint: str, standing: Standing, error: ProbatumError) -> Told:
    return Told(endpoint=endpoint, standing=standing, code=error.code, why=error.message)
