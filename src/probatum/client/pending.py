"""Collecting settlements: pending bundles in, settled bundles out (`LOG-1`).

A sub-machine, like `sync`, beside whose view it works. Once the ledger's view shows that a log is
settled as far as a receipt, one `GetState` fetches the proofs for all receipts of that session,
and few tiles the inclusion of thousands. What nodes and full nodes send is checked before it is
believed; what fails is tried again later, except for what the settled log itself contradicts.
Must not know who waits for a bundle. Read next: `settling`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from probatum.client.backoff import compute_backoff_ms
from probatum.client.ledger_view import LedgerView
from probatum.client.settling import (
    Pending,
    ProvenLog,
    list_tiles,
    read_pending,
    read_state,
    settle,
)
from probatum.consensus.trusting import make_header_check
from probatum.errors import Refusal
from probatum.machine.events import Event, Fired, Moment, Returned, Unreachable
from probatum.machine.wishes import Report, Send, SetTimer, Wish
from probatum.protocol import limits
from probatum.protocol.headers import SignedHeader
from probatum.protocol.messages import GetLogFile, GetState, GotLogFile, GotState, Message, Refused
from probatum.protocol.primitives import Address, RequestId, make_address
from probatum.protocol.records import get_log_key
from probatum.protocol.tiles import TILE_WIDTH, ProvenTiles, parse_tile_path
from probatum.protocol.trust import Trust

__all__ = ["CollectStep", "SettlementCollector"]

_TICKET: Final = "settle:"
_JOBS: Final = 8
_JOB_ITEMS: Final = 1_024
_FETCHES: Final = 4
_STEP_ITEMS: Final = 16
"""Bundles put together in one step: each is checked whole, and others wait for the step's end."""
_TIMEOUT_MS: Final = 10_000
_LONGEST_PAUSE_MS: Final = 60_000
"""A node may be gone for good; one that starts again is asked at once (it opens a session)."""
_HASH_BYTES: Final = 32
_BAD_TILES: Final = ("tile.", "merkle.")
"""Refusals of what a node served; any other is by proven records, and stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectStep:
    """What one step of collecting brought.

    Attributes:
        finished: Settlements, checked and encoded: `add_settlement` makes them part of their
            bundles, which are no longer held.
        broken: Requests whose receipt the settled ledger contradicts, with the refusal's code;
            no longer held. ``receipt.left-out`` convicts the node (`LOG-1`).
    """

    wishes: tuple[Wish, ...] = ()
    finished: tuple[tuple[RequestId, bytes], ...] = ()
    broken: tuple[tuple[RequestId, str], ...] = ()


@dataclass(slots=True, kw_only=True)
class _Job:
    """The proofs of one session on their way.

    Attributes:
        seen: The view's header when they were asked for: they are proven by no earlier one.
    """

    number: int
    items: list[tuple[RequestId, Pending]]
    keys: tuple[bytes, ...]
    endpoint: str
    seen: SignedHeader | None
    proven: ProvenLog | None = None
    to_fetch: list[str] = field(default_factory=list)
    fetching: set[str] = field(default_factory=set)
    tiles: dict[str, bytes] = field(default_factory=dict)
    reader: ProvenTiles | None = None


@dataclass(slots=True, kw_only=True)
class _Session:
    """One log session with receipts that wait for it.

    Attributes:
        failed_life: How many sessions its node had opened when it failed last.
    """

    operator: Address
    session: int
    waiting: dict[RequestId, Pending] = field(default_factory=dict)
    job: _Job | None = None
    failures: int = 0
    pausing: bool = False
    failed_life: int = 0


class SettlementCollector:
    """Holds pending bundles until they are settled."""

    def __init__(
        self,
        endpoint: str,
        trust: Trust,
        view: LedgerView,
        *,
        limit: int = limits.MEMPOOL_TRANSACTIONS,
    ) -> None:
        """Make a collector that holds nothing.

        Args:
            endpoint: The full node to ask for proofs.
            trust: Whose headers to believe.
            view: The follower's; it must follow nodes and logs.
            limit: How many bundles may wait.
        """
        self._endpoint = endpoint
        self._trust = trust
        self._view = view
        self._limit = limit
        self._sessions: dict[tuple[Address, int], _Session] = {}
        self._places: dict[RequestId, tuple[Address, int]] = {}
        self._jobs: dict[int, tuple[Address, int]] = {}
        self._count = 0

    def __len__(self) -> int:
        """Count the bundles that wait."""
        return len(self._places)

    def add(self, request_id: RequestId, bundle: bytes) -> None:
        """Hold a pending bundle, whose records the caller has checked or signed.

        Raises:
            Refusal: as `hold`; `encoding.*` and others for bytes that are no pending bundle.
        """
        self.hold(request_id, read_pending(bundle))

    def hold(self, request_id: RequestId, item: Pending) -> None:
        """Hold what was read of a pending bundle; `look` finds out when it can be settled.

        Raises:
            Refusal: `settle.full`.
        """
        if request_id in self._places:
            return
        if len(self._places) >= self._limit:
            raise Refusal("settle.full", f"{self._limit} receipts wait for settlement")
        place = (item.operator, item.session)
        session = self._sessions.setdefault(
            place, _Session(operator=item.operator, session=item.session)
        )
        session.waiting[request_id] = item
        self._places[request_id] = place

    def remove(self, request_id: RequestId) -> None:
        """Forget a bundle, if it waits."""
        place = self._places.pop(request_id, None)
        if place is not None:
            self._sessions[place].waiting.pop(request_id, None)

    def list_overdue(self) -> tuple[RequestId, ...]:
        """List the requests whose include-by height has passed without a settlement."""
        return tuple(
            request_id
            for _, session in sorted(self._sessions.items())
            for request_id, item in session.waiting.items()
            if self._view.height > item.include_by and not self._is_settled(item)
        )

    def look(self, moment: Moment) -> tuple[Wish, ...]:
        """Begin whatever the view now shows to be settled; call it after each new block."""
        del moment
        wishes: list[Wish] = []
        for place, session in sorted(self._sessions.items()):
            if not session.waiting and session.job is None:
                del self._sessions[place]
        # One job an operator, those that failed last: who hangs holds up its own receipts alone.
        busy = {operator for operator, _ in self._jobs.values()}
        for place, session in sorted(
            self._sessions.items(), key=lambda pair: (pair[1].failures, pair[0])
        ):
            if len(self._jobs) >= _JOBS:
                break
            if session.operator not in busy and self._may_begin(session):
                begun = self._begin(place, session)
                if begun:
                    busy.add(session.operator)
                wishes += begun
        return tuple(wishes)

    def _may_begin(self, session: _Session) -> bool:
        return not session.pausing or self._count_lives(session) > session.failed_life

    def _count_lives(self, session: _Session) -> int:
        node = self._view.get_node(session.operator)
        return node.sessions if node else 0

    def owns(self, event: Event) -> bool:
        """Tell whether an event is an answer to one of the collector's wishes."""
        match event:
            case Returned(call=ticket) | Unreachable(call=ticket) | Fired(timer=ticket):
                return ticket.startswith(_TICKET)
            case _:
                return False

    def step(self, event: Event, moment: Moment) -> CollectStep:
        """Take an event that `owns` claims."""
        match event:
            case Fired(timer=timer) if timer.startswith(_TICKET + "again:"):
                operator, number = timer.removeprefix(_TICKET + "again:").split(":")
                session = self._sessions.get((make_address(bytes.fromhex(operator)), int(number)))
                if session is not None:
                    session.pausing = False
                return CollectStep(wishes=self.look(moment))
            case Fired(timer=ticket) | Returned(call=ticket) | Unreachable(call=ticket):
                _, number, what = ticket.split(":", 2)
                place = self._jobs.get(int(number))
                session = self._sessions.get(place) if place else None
                if session is None or session.job is None:
                    return CollectStep()
                try:
                    return self._advance(session, session.job, event, what, moment)
                except Refusal as refusal:
                    return self._fail(session, refusal.code, refusal.message, moment)
            case _:
                return CollectStep()

    def _is_settled(self, item: Pending) -> bool:
        log = self._view.get_log(item.operator, item.session)
        return log is not None and item.index < log.size

    def _begin(self, place: tuple[Address, int], session: _Session) -> tuple[Wish, ...]:
        node = self._view.get_node(session.operator)
        log = self._view.get_log(session.operator, session.session)
        if node is None or log is None:
            return ()
        ready = [pair for pair in session.waiting.items() if pair[1].index < log.size]
        if not ready:
            return ()
        ready.sort(key=lambda pair: pair[1].index)
        log_key = get_log_key(session.operator, session.session)
        items: list[tuple[RequestId, Pending]] = []
        keys: set[bytes] = set()
        for pair in ready[:_JOB_ITEMS]:
            more = keys.union(pair[1].keys)
            if len(more) < limits.QUERY_KEYS:
                keys = more
                items.append(pair)
        self._count += 1
        session.pausing = False
        session.job = _Job(
            number=self._count,
            items=items,
            keys=(log_key, *sorted(keys)),
            endpoint=node.endpoint,
            seen=self._view.header,
        )
        self._jobs[self._count] = place
        ask = GetState(keys=session.job.keys, prove=True)
        return (Send(f"{_TICKET}{self._count}:state", self._endpoint, ask, _TIMEOUT_MS),)

    def _advance(
        self, session: _Session, job: _Job, event: Event, what: str, moment: Moment
    ) -> CollectStep:
        match event:
            case Unreachable(reason=why):
                return self._fail(session, "settle.unreachable", why, moment)
            case Returned(message=Refused(code=code, message=why)):
                return self._fail(session, code, why, moment)
            case Returned(message=GotState() as state) if what == "state":
                check = make_header_check(self._trust, moment.now_ms, seen=job.seen)
                job.proven = read_state(state, job.keys, check)
                size = job.proven.log.size
                job.items = [pair for pair in job.items if pair[1].index < size]
                if not job.items:
                    return self._fail(session, "settle.stale", "an older state", moment)
                # Entries of one leaf tile need the same tiles.
                tiles = {item.index // TILE_WIDTH: item.index for _, item in job.items}
                needed = (list_tiles(index, size) for index in tiles.values())
                job.to_fetch = sorted({path for paths in needed for path in paths}, reverse=True)
                return CollectStep(wishes=self._fetch(session, job))
            case Returned(message=GotLogFile(data=data)) if what in job.fetching:
                job.fetching.remove(what)
                if len(data) != _HASH_BYTES * parse_tile_path(what).width:
                    raise Refusal("tile.bad-length", f"{what} has {len(data)} bytes")
                job.tiles[what] = data
                return CollectStep(wishes=self._fetch(session, job))
            case Fired():
                return self._assemble(session, job, moment)
            case Returned(message=message):
                return self._fail(session, "settle.wrong-reply", _name(message), moment)
            case _:
                return CollectStep()

    def _fetch(self, session: _Session, job: _Job) -> tuple[Wish, ...]:
        wishes: list[Wish] = []
        while job.to_fetch and len(job.fetching) < _FETCHES:
            path = job.to_fetch.pop()
            job.fetching.add(path)
            ask = GetLogFile(session=session.session, path=path)
            ticket = f"{_TICKET}{job.number}:{path}"
            wishes.append(Send(ticket, job.endpoint, ask, _TIMEOUT_MS))
        if not job.fetching:
            wishes.append(SetTimer(f"{_TICKET}{job.number}:put", 0))
        return tuple(wishes)

    def _assemble(self, session: _Session, job: _Job, moment: Moment) -> CollectStep:
        assert job.proven is not None, "tiles are fetched for a proven size"
        if job.reader is None:
            log = job.proven.log
            job.reader = ProvenTiles(log.size, log.root, job.tiles)
        reader = job.reader
        finished: list[tuple[RequestId, bytes]] = []
        broken: list[tuple[RequestId, str]] = []
        end = CollectStep()
        for request_id, item in job.items[:_STEP_ITEMS]:
            if request_id not in session.waiting:
                continue
            try:
                finished.append((request_id, settle(item, job.proven, reader)))
            except Refusal as refusal:
                if refusal.code.startswith(_BAD_TILES):
                    end = self._fail(session, refusal.code, refusal.message, moment)
                    break
                broken.append((request_id, refusal.code))
        del job.items[:_STEP_ITEMS]
        for request_id, _ in (*finished, *broken):
            self.remove(request_id)
        if session.job is not None:
            if job.items:
                end = CollectStep(wishes=(SetTimer(f"{_TICKET}{job.number}:put", 0),))
            else:
                self._close(session)
                session.failures = 0
                end = CollectStep(wishes=self.look(moment))
        return CollectStep(wishes=end.wishes, finished=tuple(finished), broken=tuple(broken))

    def _close(self, session: _Session) -> None:
        if session.job is not None:
            del self._jobs[session.job.number]
            session.job = None

    def _fail(self, session: _Session, code: str, why: str, moment: Moment) -> CollectStep:
        self._close(session)
        session.failures += 1
        session.pausing = True
        session.failed_life = self._count_lives(session)
        operator = session.operator.hex()
        purpose = f"settle:{operator}"
        wait = compute_backoff_ms(session.failures, moment, purpose, longest_ms=_LONGEST_PAUSE_MS)
        fields = (("operator", "0x" + operator), ("session", str(session.session)))
        report = Report("warning", code, why, fields)
        again = SetTimer(f"{_TICKET}again:{operator}:{session.session}", wait)
        return CollectStep(wishes=(report, again))


def _name(message: Message) -> str:
    return f"a {type(message).__name__} came back"
