"""Somebody who keeps customers' receipts and nodes' checkpoints, and accuses where it can.

Follows the ledger, fetches tiles from nodes, decides by `evidence.prosecution` and sends what
that says. Believes nobody: whatever a node sends is checked by what uses it. What it holds is in
the docket, which outlives it. Must not know who cheats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from probatum.client.ledger_view import LedgerView
from probatum.client.sync import LedgerFollower
from probatum.client.wallet import TransactionSender
from probatum.errors import Refusal
from probatum.evidence import accusing
from probatum.evidence.prosecution import (
    Accuse,
    FetchBlock,
    FetchTiles,
    Wait,
    Windows,
    prosecute,
)
from probatum.evidence.settlements import Settled, find_settlement
from probatum.machine.events import Event, Fired, Moment, Returned, Started
from probatum.machine.machine import draw
from probatum.machine.wishes import Send, SetTimer, Wish
from probatum.protocol import records
from probatum.protocol.eip712 import Domain
from probatum.protocol.hashing import sha256
from probatum.protocol.messages import GetBlock, GetLogFile, GotBlock, GotLogFile
from probatum.protocol.notes import log_origin, open_checkpoint
from probatum.protocol.primitives import Address
from probatum.protocol.records import LogRecord
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.tiles import TileReader
from probatum.protocol.transactions.kinds import (
    Accusation,
    ReportTwoCharges,
    ReportTwoReleases,
)
from probatum.protocol.trust import Trust
from probatum.storm.cast.holdings import Holdings
from probatum.storm.docket import Case, ChargeCase, Docket, ForkCase
from probatum.storm.trace import Trace

__all__ = ["PREFIXES", "Prosecutor"]

PREFIXES: Final = (
    records.CHALLENGE,
    records.KEY,
    records.LOG,
    records.LOSS,
    records.NODE,
    records.OFFENCE,
    records.PARAMS_KEY,
    records.RETURNED,
)
"""What of the ledger it takes to prosecute."""
_BLOCK: Final = "block:"
_FILE: Final = "file:"
_LOOK: Final = "prosecutor:look"
_LOOK_MS: Final = 1_500
_FETCH_MS: Final = 4_000
_AGAIN_BLOCKS: Final = 3
_PATIENCE_BLOCKS: Final = 2
_IN_FLIGHT: Final = 8


class Prosecutor:
    """Watches all logs."""

    def __init__(
        self,
        ledger: str,
        trust: Trust,
        domain: Domain,
        signer: AccountSigner,
        docket: Docket,
        collect: Callable[[], Iterable[bytes]],
        trace: Trace,
        fee_units: int,
    ) -> None:
        """Make a prosecutor; `collect` lists the bundles that customers hold by now."""
        self._ledger = ledger
        self._domain = domain
        self._docket = docket
        self._holdings = Holdings(docket, collect)
        self._trace = trace
        self._follower = LedgerFollower(ledger, PREFIXES, trust)
        self._sender = TransactionSender(ledger, domain, signer, fee_units)
        self._sent: dict[str, Case | ForkCase | ChargeCase] = {}
        self._tiles: dict[tuple[Address, int], dict[str, bytes]] = {}
        self._settled: dict[tuple[Address, int], Settled] = {}
        self._asking: dict[str, tuple[Address, int]] = {}
        self._fetching: dict[str, tuple[Address, int, str]] = {}
        self._numbers = 0

    @property
    def view(self) -> LedgerView:
        """The ledger as it follows it."""
        return self._follower.view

    def step(self, event: Event, moment: Moment) -> tuple[Wish, ...]:
        """Take one event."""
        if self._follower.owns(event):
            step = self._follower.step(event, moment)
            return (*step.wishes, *(self._plan() if step.blocks else ()))
        if self._sender.owns(event):
            sent = self._sender.step(event, moment)
            for outcome in sent.outcomes:
                case = self._sent.pop(outcome.ticket)
                case.busy = False
                # The view must show what came of it before anything follows.
                pause = 0 if outcome.code == "ok" else _AGAIN_BLOCKS
                case.not_before = max(outcome.height, self.view.height) + pause
                self._trace.count(f"accusations {outcome.ticket.split(':')[0]} {outcome.code}")
            return sent.wishes
        match event:
            case Started():
                return (*self._follower.start(moment), SetTimer(_LOOK, _LOOK_MS))
            case Fired(timer=name) if name == _LOOK:
                self._holdings.take(self.view.height)
                return (*self._look_at_logs(moment), *self._plan(), SetTimer(_LOOK, _LOOK_MS))
            case Returned(call=call, message=message) if call in self._fetching:
                operator, session, path = self._fetching.pop(call)
                if isinstance(message, GotLogFile):
                    return self._take_file(operator, session, path, message.data)
                return ()
            case Returned(call=call, message=message) if call in self._asking:
                place = self._asking.pop(call)
                log = self.view.get_log(*place)
                if isinstance(message, GotBlock) and log is not None:
                    found = find_settlement(self._domain, log, message.block)
                    if found is not None:
                        self._settled[place] = found
                return self._plan()
            case _:
                call = getattr(event, "call", "")
                self._fetching.pop(call, None)
                self._asking.pop(call, None)
                return ()

    def _look_at_logs(self, moment: Moment) -> tuple[Wish, ...]:
        """Ask one node for a checkpoint of its newest session."""
        nodes = [node for node in self.view.get_nodes() if node.sessions]
        if not nodes or len(self._fetching) >= _IN_FLIGHT:
            return ()
        node = nodes[draw(moment, "whom")[0] % len(nodes)]
        return self._fetch(node.account, node.sessions - 1, "checkpoint")

    def _fetch(self, operator: Address, session: int, path: str) -> tuple[Wish, ...]:
        node = self.view.get_node(operator)
        wanted = (operator, session, path)
        if node is None or wanted in self._fetching.values():
            return ()
        self._numbers += 1
        call = f"{_FILE}{self._numbers}"
        self._fetching[call] = wanted
        return (Send(call, node.endpoint, GetLogFile(session=session, path=path), _FETCH_MS),)

    def _take_file(
        self, operator: Address, session: int, path: str, data: bytes
    ) -> tuple[Wish, ...]:
        if path != "checkpoint":
            self._tiles.setdefault((operator, session), {})[path] = data
            return self._plan()
        log = self.view.get_log(operator, session)
        if log is None:
            return ()
        origin = log_origin(self._domain, operator, session)
        try:
            checkpoint = open_checkpoint(data, origin, log.operating_key)
        except Refusal:
            self._trace.count("checkpoints that are none")
            return ()
        if checkpoint.size:
            digest = sha256(data)
            self._docket.forks.setdefault(
                digest,
                ForkCase(
                    operator=operator,
                    session=session,
                    size=checkpoint.size,
                    raw=data,
                    entry=digest,
                    known_at=self.view.height,
                ),
            )
        return self._plan()

    # Deciding

    def _plan(self) -> tuple[Wish, ...]:
        params = self.view.get_params()
        if params is None:
            return ()
        windows = Windows(
            challenge_blocks=params.challenge_window_blocks,
            unbonding_blocks=params.unbonding_blocks,
            loss_epoch_blocks=params.loss_epoch_blocks,
            patience_blocks=_PATIENCE_BLOCKS,
        )
        wishes: list[Wish] = []
        height = self.view.height
        for case in self._docket.cases.values():
            if case.verdict == "open" and not case.busy and case.not_before <= height:
                wishes += self._judge(case, windows)
        for fork in self._docket.forks.values():
            if fork.verdict == "open" and not fork.busy and fork.not_before <= height:
                wishes += self._judge_fork(fork)
        for charge in self._docket.charges.values():
            if charge.verdict == "open" and not charge.busy and charge.not_before <= height:
                wishes += self._judge_charge(charge)
        return tuple(wishes)

    def _judge_charge(self, charge: ChargeCase) -> tuple[Wish, ...]:
        if self.view.get_charge(charge.body.operator, charge.first_record) is not None:
            charge.verdict = "convicted"
            return ()
        return self._accuse(charge, charge.body)

    def _judge(self, case: Case, windows: Windows) -> tuple[Wish, ...]:
        held = case.held
        rival = self._holdings.find_rival(held.entry)
        place = (held.operator, held.place.session)
        if rival is not None and rival.busy:
            return ()  # one report is about both
        log = self.view.get_log(*place)
        if log is None:
            return ()  # who asked the node may be ahead of this view
        try:
            decision = prosecute(
                held,
                self.view,
                windows,
                rival=rival.held if rival else None,
                tiles=self._tiles.get(place),
                settled=self._settled.get(place),
            )
        except Refusal:
            # Somebody's tiles are not those of the settled log: ask again.
            self._tiles.pop(place, None)
            case.not_before = self.view.height + 1
            return ()
        match decision:
            case Accuse(body=body):
                return self._accuse(case, body)
            case FetchBlock(height=settled_at):
                return self._ask_for_block(place, settled_at)
            case FetchTiles(paths=paths):
                case.not_before = self.view.height + 1
                return self._fetch_all(*place, paths)
            case Wait(until=until):
                case.not_before = min(until, self.view.height + _AGAIN_BLOCKS)
                return ()
            case _:
                case.verdict = "convicted" if decision.convicted else "settled"
                case.why = decision.why
                return ()

    def _ask_for_block(self, place: tuple[Address, int], height: int) -> tuple[Wish, ...]:
        if place in self._asking.values():
            return ()
        self._numbers += 1
        call = f"{_BLOCK}{self._numbers}"
        self._asking[call] = place
        return (Send(call, self._ledger, GetBlock(height=height), _FETCH_MS),)

    def _judge_fork(self, fork: ForkCase) -> tuple[Wish, ...]:
        place = (fork.operator, fork.session)
        log = self.view.get_log(*place)
        if log is None or self.view.get_offence(*place, "fork", 0) is not None:
            fork.verdict = "other" if log is None else "convicted"
            return ()
        fork.not_before = self.view.height + 1
        if log.size < fork.size:
            return ()
        paths = accusing.list_fork_tiles(fork.size, log.size)
        tiles = self._tiles.get(place, {})
        if any(path not in tiles for path in paths):
            return self._fetch_all(*place, paths)
        return self._compare(fork, log, TileReader(log.size, tiles))

    def _compare(self, fork: ForkCase, log: LogRecord, tiles: TileReader) -> tuple[Wish, ...]:
        try:
            body = accusing.report_no_prefix(self._domain, log, fork.raw, tiles)
        except Refusal as refusal:
            if refusal.code == "accusing.no-case":
                fork.verdict = "settled"
            else:
                self._tiles.pop((fork.operator, fork.session), None)
            return ()
        return self._accuse(fork, body)

    def _fetch_all(
        self, operator: Address, session: int, paths: tuple[str, ...]
    ) -> tuple[Wish, ...]:
        known = self._tiles.get((operator, session), {})
        wishes: list[Wish] = []
        for path in paths:
            if path not in known and len(self._fetching) < _IN_FLIGHT:
                wishes += self._fetch(operator, session, path)
        return tuple(wishes)

    def _accuse(
        self,
        case: Case | ForkCase | ChargeCase,
        body: Accusation | ReportTwoCharges | ReportTwoReleases,
    ) -> tuple[Wish, ...]:
        if len(self._sender) >= _IN_FLIGHT:
            return ()
        case.busy = True
        self._numbers += 1
        ticket = f"{type(body).__name__}:{self._numbers}"
        self._sent[ticket] = case
        return self._sender.submit(ticket, body)
