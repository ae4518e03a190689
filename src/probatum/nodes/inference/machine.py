"""The inference node: a pure machine that runs models, signs receipts and keeps their log.

One event, one step; what the node wants of the world comes back as wishes. The driver grants them
(`probatum.nodes.shell`, `probatum.storm`). After a crash a new machine is built from the journal
and opens a new log session (`LOG-1`). Read next: `work` (requests), `duties` (the ledger),
`handover` (what is checked), `logbook`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from probatum.client.ledger_view import LedgerView
from probatum.client.sync import LedgerFollower
from probatum.client.tabs import Tabs
from probatum.errors import Refusal
from probatum.machine.budget import Recent
from probatum.machine.events import (
    Arrived,
    Computed,
    Durable,
    Event,
    Fired,
    Generated,
    Hung,
    Moment,
    Started,
    Stopping,
)
from probatum.machine.wishes import Halt, Reply, Report, SetTimer, Wish
from probatum.nodes.inference.challenges import RETURNED
from probatum.nodes.inference.charging import show_tab
from probatum.nodes.inference.duties import Duties
from probatum.nodes.inference.handover import Tree
from probatum.nodes.inference.logbook import Logbook
from probatum.nodes.inference.piece import ACCEPT
from probatum.nodes.inference.recovery import GivenAnswer, recover
from probatum.nodes.inference.refusing import refuse
from probatum.nodes.inference.sessions import SESSION
from probatum.nodes.inference.settings import InferenceSettings
from probatum.nodes.inference.text_desk import PREFIX
from probatum.nodes.inference.work import ANSWER, WorkDesk
from probatum.nodes.inference.writing import Promises
from probatum.protocol import records
from probatum.protocol.hash_rows import Shelf
from probatum.protocol.manifests import encode_manifest
from probatum.protocol.messages import (
    CancelWork,
    GetLogFile,
    GetManifest,
    GetTab,
    GotLogFile,
    GotManifest,
    HandOverWork,
    Message,
)
from probatum.protocol.primitives import OperatingKey

__all__ = ["InferenceNode"]

_STOP_TIMER: Final = "node:stop"
_REPORTED_LAPSES: Final = 16


class InferenceNode:
    """One operator's inference node."""

    def __init__(
        self,
        settings: InferenceSettings,
        journal: Iterable[bytes],
        shelf: Shelf | None = None,
    ) -> None:
        """Build the node from its journal, empty at its first start.

        Args:
            settings: The node's.
            journal: Its records, in order.
            shelf: Where what is old in its logs is kept; without one, in memory.

        Raises:
            Refusal: `encoding.*` for a record that is not one.
            Fault: `node.journal-broken`.
        """
        self._settings = settings
        answers: Recent[Tree, GivenAnswer] = Recent(
            limit=settings.recent_bytes, weigh=lambda answer: answer.weight
        )
        self._book = Logbook(settings.domain, settings.operator, settings.signer, shelf)
        prefixes = (
            records.NODE,
            records.OFFER,
            records.MODEL,
            records.LOG + settings.operator,
            records.CHALLENGE + settings.operator,
            records.LOSS + settings.operator,
            records.PARAMS_KEY,
        )
        view = LedgerView()
        self._tabs = Tabs(settings.domain, settings.operator, view)
        self._recovered = recover(journal, self._book, answers, settings.signer.key, self._tabs)
        self._follower = LedgerFollower(
            settings.ledger,
            prefixes,
            settings.trust,
            seen=self._recovered.seen,
            view=view,
            escrows_of=(settings.operator,),
        )
        self._desk = WorkDesk(
            settings,
            view,
            answers,
            self._recovered.answered,
            self._tabs,
            Promises(self._recovered.texts),
        )
        self._duties = Duties(
            settings,
            self._book,
            view,
            self._recovered.sessions,
            self._tabs,
            self._recovered.returned,
        )
        self._stopping = False
        self._halted = False

    @property
    def is_ready(self) -> bool:
        """Whether the node takes work."""
        return self._duties.log is not None and not (self._stopping or self._halted)

    @property
    def sessions(self) -> tuple[int, ...]:
        """The log sessions that it can show, oldest first."""
        return tuple(log.session for log in self._book)

    @property
    def session_keys(self) -> tuple[tuple[int, OperatingKey], ...]:
        """Its log sessions with the keys that speak for them, oldest first."""
        return tuple((log.session, log.key) for log in self._book)

    def get_gauges(self) -> Mapping[str, float]:
        """Get figures for whoever is on duty; the log is that of this session (`LOG-1`)."""
        view, log = self._follower.view, self._duties.log
        record = view.get_log(self._settings.operator, log.session) if log else None
        settled = record.size if record else 0
        entries = log.durable if log else 0
        return {
            "ledger_height": view.height,
            "ready": self.is_ready,
            "node_session": log.session if log else 0,
            "node_open_requests": len(self._desk),
            "node_held_input_bytes": self._desk.held_bytes,
            "node_log_entries": entries,
            "node_log_settled_entries": settled,
            "node_log_unsettled_entries": max(0, entries - settled),
            "node_uncollected_units": self._tabs.count_due(least_units=0),
        }

    def step(self, event: Event, moment: Moment) -> tuple[Wish, ...]:
        """Take one event, return the wishes that follow from it."""
        if self._halted:
            return ()
        wishes = self._take(event, moment)
        if self._stopping and not len(self._desk) and self._duties.is_settled():
            wishes = (*wishes, Halt("node.stopped", "asked to stop; nothing is held or unsettled"))
        self._halted = Halt in map(type, wishes)
        return wishes

    def _follow(self, event: Event, moment: Moment) -> tuple[Wish, ...]:
        step = self._follower.step(event, moment)
        if step.went_back:
            why = "the ledger shows another past than before; signing on could equivocate"
            return (*step.wishes, Halt("node.ledger-went-back", why, step.headers))
        if not step.blocks:
            return step.wishes
        return (*step.wishes, *self._duties.plan(moment, stopping=self._stopping))

    def _take(self, event: Event, moment: Moment) -> tuple[Wish, ...]:
        # What every piece of work brings comes first.
        match event:
            case Durable(ticket=ticket):
                return self._take_durable(ticket, moment)
            case Arrived(conversation=conversation, message=message):
                return self._take_message(conversation, message)
            case Generated() | Computed():
                return self._take_outcome(event)
            case _ if self._follower.owns(event):
                return self._follow(event, moment)
            case _ if self._duties.owns(event):
                wishes = self._duties.step(event, moment)
                return (*wishes, *self._duties.plan(moment, stopping=self._stopping))
            case Started():
                return (*self._report_lapses(), *self._follower.start(moment))
            case Hung(conversation=conversation):
                return self._desk.forget(conversation)
            case Stopping():
                return self._begin_to_stop(moment)
            case Fired(timer=name) if name == _STOP_TIMER and self._stopping:
                why = f"{len(self._desk)} pieces of work were not answered in time, or not settled"
                return (Halt("node.stopped-early", why),)
            case _:
                return ()

    def _begin_to_stop(self, moment: Moment) -> tuple[Wish, ...]:
        self._stopping = True
        timer = SetTimer(_STOP_TIMER, self._settings.stop_grace_ms)
        return (timer, *self._duties.plan(moment, stopping=True))

    def _take_message(self, conversation: str, message: Message) -> tuple[Wish, ...]:
        match message:
            case HandOverWork():
                log = self._duties.log if self._duties.is_registered() else None
                return self._desk.take(conversation, message, log, stopping=self._stopping)
            case CancelWork():
                return self._desk.texts.cancel(conversation, message)
            case GetLogFile(session=session, path=path):
                try:
                    data = self._book.read(session, path)
                except Refusal as refusal:
                    return (refuse(conversation, refusal),)
                return (Reply(conversation, GotLogFile(data=data)),)
            case GetManifest(package=package):
                manifest = self._settings.packages.get(package)
                if manifest is None:
                    why = "this node does not run the package"
                    return (refuse(conversation, Refusal("package.not-here", why)),)
                return (Reply(conversation, GotManifest(manifest=encode_manifest(manifest))),)
            case GetTab(escrow=escrow):
                try:
                    tab = show_tab(self._tabs, escrow, self._settings.signer)
                except Refusal as refusal:
                    return (refuse(conversation, refusal),)
                return (Reply(conversation, tab),)
            case _:
                why = f"an inference node takes no {type(message).__name__}"
                return (refuse(conversation, Refusal("node.wrong-message", why)),)

    def _take_outcome(self, event: Generated | Computed) -> tuple[Wish, ...]:
        if isinstance(event, Generated):
            return self._desk.texts.take_generated(event.job, event.ids, event.logprobs)
        return self._desk.take_computed(event.job, event.outcome)

    def _take_durable(self, ticket: str, moment: Moment) -> tuple[Wish, ...]:
        if ticket == SESSION:
            return self._duties.take_session_durable()
        if ticket.startswith(RETURNED):
            self._duties.take_returned_durable(ticket)
            return self._duties.plan(moment, stopping=self._stopping)
        if ticket.startswith(ACCEPT):
            return self._desk.take_accepted(ticket.removeprefix(ACCEPT))
        if ticket.startswith(PREFIX):
            return self._desk.texts.take_durable(ticket.removeprefix(PREFIX))
        if ticket.startswith(ANSWER):
            wishes = self._desk.take_answered(ticket.removeprefix(ANSWER))
            # A node that is stopping does not wait for the next block to settle its last answers.
            more = self._duties.plan(moment, stopping=True) if self._stopping else ()
            return (*wishes, *more)
        return ()

    def _report_lapses(self) -> tuple[Wish, ...]:
        """Say what earlier lives accepted and never answered (`CUSTODY-1`)."""
        lapses = self._recovered.lapses
        reports = [
            Report(
                "warning",
                "node.lapse",
                "accepted in an earlier life and never answered",
                (("request", request_id), ("answer_by", str(answer_by))),
            )
            for request_id, answer_by in lapses[-_REPORTED_LAPSES:]
        ]
        if len(lapses) > len(reports):
            why = f"{len(lapses)} requests were accepted in earlier lives and never answered"
            reports.append(Report("warning", "node.lapses", why))
        return tuple(reports)
