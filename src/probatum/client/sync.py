"""Following the ledger: headers checked one by one, changes kept in a view (`PROTO-1`).

A sub-machine: the party that owns it passes on the events that `owns` claims and grants its
wishes. Every header must be of the trusted chain, sealed, and the child of the one before; with
validators, what is believed moves on with each, so that they may all change (`LIGHT-1`). A ledger
of one key that lost what it had signed (a restored backup), or validators that sealed two pasts,
are noticed before anything is built on it: `LOG-1` has nodes stop then. A full node that is merely
behind others is asked again. Must not know what the records mean to its owner.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Final

from probatum.client.backoff import compute_backoff_ms
from probatum.client.ledger_view import LedgerView
from probatum.consensus.trusting import Believed, ForkFound, believe, check_next, find_way
from probatum.errors import Refusal
from probatum.machine.events import Event, Fired, Moment, Returned, Unreachable
from probatum.machine.wishes import Report, Send, SetTimer, Wish
from probatum.protocol.blocks import BlockView
from probatum.protocol.headers import SignedHeader, compute_header_hash
from probatum.protocol.messages import Follow, Followed, GetHeader, GotHeader, Message, Refused
from probatum.protocol.primitives import Address
from probatum.protocol.trust import Trust

__all__ = ["FollowStep", "LedgerFollower"]

_TICKET: Final = "follow:"
_RETRY: Final = "follow:retry"
_WAIT_MS: Final = 3_000
_TIMEOUT_MS: Final = 8_000
"""A lost reply leaves the view behind for this long, and a gateway that far behind refuses honest
answers as dated too far ahead: storms showed it at 20 seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowStep:
    """What one step of following brought.

    Attributes:
        wishes: To be granted by the owner's driver.
        blocks: New blocks, already applied to the view, in order.
        snapshot: Whether the first of them held all records instead of changes.
        went_back: The ledger contradicts what it had signed before; following has ended.
        headers: Then, two sealed headers that contradict each other, or one that contradicts the
            trust file: evidence, to be kept and reported. None if the ledger only lost blocks.
    """

    wishes: tuple[Wish, ...] = ()
    blocks: tuple[BlockView, ...] = ()
    snapshot: bool = False
    went_back: bool = False
    headers: tuple[SignedHeader, ...] = ()


class _WentBackError(Exception):
    """The ledger shows another past than before; `headers` prove it, if they can."""

    def __init__(self, why: str, *headers: SignedHeader) -> None:
        super().__init__(why)
        self.headers = headers


class LedgerFollower:
    """Follows one full node.

    Attributes:
        view: The records so far.
        stopped: True once the ledger went back.
    """

    def __init__(
        self,
        endpoint: str,
        prefixes: tuple[bytes, ...],
        trust: Trust,
        *,
        seen: SignedHeader | None = None,
        view: LedgerView | None = None,
        escrows_of: tuple[Address, ...] = (),
    ) -> None:
        """Make a follower that has asked for nothing yet.

        Args:
            endpoint: The full node.
            prefixes: Which records to follow.
            trust: Whose headers to believe.
            seen: The last header that the owner saw in an earlier life, if it kept one.
            view: What to fill, if others hold it already; it must be empty.
            escrows_of: Whose escrows to follow (`PAY-1`).
        """
        self.view = LedgerView() if view is None else view
        self.stopped = False
        self._endpoint = endpoint
        self._prefixes = prefixes
        self._escrows_of = escrows_of
        self._trust = trust
        self._believed = believe(trust, seen)
        self._way: Generator[int, SignedHeader, Believed] | None = None
        self._target: SignedHeader
        self._is_far = self._believed.state is not None
        self._seen = seen
        self._calls = 0
        self._open = ""
        self._failures = 0

    def start(self, moment: Moment) -> tuple[Wish, ...]:
        """Begin to follow."""
        del moment
        return (self._probe(),)

    def owns(self, event: Event) -> bool:
        """Tell whether an event is an answer to one of the follower's wishes."""
        match event:
            case Returned(call=ticket) | Unreachable(call=ticket) | Fired(timer=ticket):
                return ticket.startswith(_TICKET)
            case _:
                return False

    def step(self, event: Event, moment: Moment) -> FollowStep:
        """Take an event that `owns` claims."""
        if self.stopped:
            return FollowStep()
        match event:
            case Fired(timer=name) if name == _RETRY:
                return FollowStep() if self._open else FollowStep(wishes=(self._probe(),))
            case Returned(call=call, message=message) if call == self._open:
                try:
                    return self._take(message, moment)
                except _WentBackError as reason:
                    return self._stop(str(reason), reason.headers)
                except Refusal as refusal:
                    return self._refuse(refusal, moment)
            case Unreachable(call=call, reason=why) if call == self._open:
                return self._retry("follow.unreachable", why, moment)
            case _:
                return FollowStep()

    def _take(self, message: Message, moment: Moment) -> FollowStep:
        match message:
            case Followed() as followed:
                return self._take_blocks(followed, moment)
            case GotHeader(header=header):
                return self._take_header(header, moment)
            case Refused(code=code) if self._open.endswith(":at"):
                # The height that was seen is not there: lost, or only pruned? The last one tells.
                del code
                return FollowStep(wishes=(self._send(GetHeader(height=0), "last"),))
            case Refused(code=code, message=text):
                return self._retry(code, text, moment)
            case _:
                return self._retry("follow.wrong-reply", type(message).__name__, moment)

    def _take_header(self, signed: SignedHeader, moment: Moment) -> FollowStep:
        """Take a header that was asked for, or one that lies between."""
        if self._way is None:
            self._way, self._target = find_way(self._believed, signed, moment.now_ms), signed
            sent: SignedHeader | None = None
        else:
            sent = signed
        try:
            height = self._way.send(sent)  # type: ignore[arg-type]  # None starts a generator
        except StopIteration as end:
            self._believed, self._way = end.value, None
        else:
            return FollowStep(wishes=(self._send(GetHeader(height=height), "between"),))
        self._check_seen(self._target)
        self._failures = 0
        if self._open.endswith(":at") and self._is_far:
            return FollowStep(wishes=(self._send(GetHeader(height=0), "last"),))
        self._is_far = False
        return FollowStep(wishes=(self._follow(),))

    def _take_blocks(self, followed: Followed, moment: Moment) -> FollowStep:
        if not followed.blocks:
            # Nothing new for long may also mean that the ledger is behind what it had signed.
            return FollowStep(wishes=(self._probe(),))
        taken: list[BlockView] = []
        try:
            for block in followed.blocks:
                self._take_block(block, moment, whole=followed.snapshot and not taken)
                taken.append(block)
        except _WentBackError as reason:
            end = self._stop(str(reason), reason.headers)
        except Refusal as refusal:
            end = self._refuse(refusal, moment)
        else:
            self._failures = 0
            end = FollowStep(wishes=(self._follow(),))
        # What came before a bad block is in the view, so the owner must hear of it.
        return replace(end, blocks=tuple(taken), snapshot=followed.snapshot and bool(taken))

    def _take_block(self, block: BlockView, moment: Moment, *, whole: bool) -> None:
        self._believed = check_next(self._believed, block.header, moment.now_ms)
        if whole:
            self._check_seen(block.header)
        else:
            self._check_child(block.header)
        seen = self._seen
        self._check_beside(block.header)
        self.view.apply(block, snapshot=whole)
        if seen is None or block.header.header.height > seen.header.height:
            self._seen = block.header

    def _check_seen(self, signed: SignedHeader) -> None:
        """A header from the ledger's present must not lie before, or beside, what was seen."""
        if self._seen is None:
            return
        new, seen = signed.header, self._seen.header
        if new.height < seen.height:
            raise _WentBackError(f"the ledger is at height {new.height}; it had {seen.height}")
        self._check_beside(signed)

    def _check_beside(self, signed: SignedHeader) -> None:
        """Of the height that was seen there is one header."""
        if self._seen is None or signed.header.height != self._seen.header.height:
            return
        if signed.header != self._seen.header:
            why = f"the ledger shows another block at height {signed.header.height}"
            raise _WentBackError(why, self._seen, signed)

    def _check_child(self, signed: SignedHeader) -> None:
        new = signed.header
        last = self.view.header
        before = last.header if last else None
        height = before.height if before else 0
        if new.height != height + 1:
            raise Refusal("follow.gap", f"height {new.height} came after {height}")
        parent = compute_header_hash(before) if before else bytes.fromhex(self._trust.genesis_hash)
        if new.previous != parent:
            if last is not None:
                why = f"the ledger shows another block at height {height}"
                raise _WentBackError(why, last, signed)
            raise Refusal("follow.not-child", "the first block does not follow from genesis")
        if before is not None and new.time_ms <= before.time_ms:
            raise Refusal("follow.time-back", f"the time of height {new.height} does not increase")

    def _stop(self, why: str, headers: tuple[SignedHeader, ...]) -> FollowStep:
        self.stopped = True
        report = Report("error", "follow.went-back", why)
        return FollowStep(wishes=(report,), went_back=True, headers=headers)

    def _refuse(self, refusal: Refusal, moment: Moment) -> FollowStep:
        if isinstance(refusal, ForkFound):
            return self._stop(refusal.message, refusal.headers)
        # Validators have changed too much for one step: the way there is found before blocks are
        # asked for again.
        self._is_far |= refusal.code == "light.too-little-trust"
        return self._retry(refusal.code, refusal.message, moment)

    def _retry(self, code: str, why: str, moment: Moment) -> FollowStep:
        self._open, self._way = "", None
        self._failures += 1
        wait = compute_backoff_ms(self._failures, moment, "follow")
        report = Report("warning", code, why, (("endpoint", self._endpoint),))
        return FollowStep(wishes=(report, SetTimer(_RETRY, wait)))

    def _probe(self) -> Send:
        seen = self._seen
        if seen is not None and seen.header.height >= self._believed.height:
            return self._send(GetHeader(height=seen.header.height), "at")
        if self._is_far:
            return self._send(GetHeader(height=0), "last")
        return self._follow()

    def _follow(self) -> Send:
        # Blocks below what is believed cannot be checked any more: all records are asked for then.
        is_level = self.view.height >= self._believed.height
        message = Follow(
            after=self.view.height if is_level else 0,
            prefixes=self._prefixes,
            wait_ms=_WAIT_MS,
            escrows_of=self._escrows_of,
        )
        return self._send(message, "blocks")

    def _send(self, message: Message, what: str) -> Send:
        self._calls += 1
        self._open = f"{_TICKET}{self._calls}:{what}"
        return Send(self._open, self._endpoint, message, _TIMEOUT_MS)
