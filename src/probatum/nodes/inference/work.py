"""Work that a node has accepted: from the hand-over to the signed answer (`CUSTODY-1`, `LOG-1`).

The order of the promises: accepted → flushed → countersigned and said; computed → appended to the
log (this gives the index) → flushed → signed → answered. Computing begins at once, so that a fast
model's answer goes to disk together with its acceptance; the journal keeps their order. Whoever
asks again is told the same. Must not know the ledger's duties.
"""

from __future__ import annotations

from probatum.client.ledger_view import LedgerView
from probatum.client.tabs import Tabs
from probatum.errors import Fault, Refusal
from probatum.machine.budget import Held, Recent, RecentDigests
from probatum.machine.wishes import Journal, Reply, Report, Wish
from probatum.nodes.inference.charging import reserve_price, state_charge
from probatum.nodes.inference.handover import HandedOver, Tree, check_work, read_handover
from probatum.nodes.inference.journal_records import AnsweredRecord
from probatum.nodes.inference.logbook import SessionLog
from probatum.nodes.inference.piece import Work, begin_work, make_receipt, pledge, start
from probatum.nodes.inference.recovery import GivenAnswer
from probatum.nodes.inference.refusing import refuse
from probatum.nodes.inference.settings import InferenceSettings
from probatum.nodes.inference.text_desk import TextDesk, tell_news
from probatum.nodes.inference.writing import Promises
from probatum.protocol import limits
from probatum.protocol.dsse import sign_envelope
from probatum.protocol.encoding import encode, encode_document
from probatum.protocol.hashing import sha256
from probatum.protocol.manifests import check_tensors_match
from probatum.protocol.messages import Accepted, Answered, HandOverWork, Produced
from probatum.protocol.receipts import encode_receipt
from probatum.protocol.tensors import Tensor, check_tensor

__all__ = ["ANSWER", "WorkDesk"]

ANSWER = "answer:"
"""Before a record's digest: ticket of the journal."""

_ASKERS = 8
"""Conversations that may wait for one piece of work."""


class WorkDesk:
    """Takes hand-overs, holds the work, gives the answers."""

    def __init__(
        self,
        settings: InferenceSettings,
        view: LedgerView,
        answers: Recent[Tree, GivenAnswer],
        answered: RecentDigests,
        tabs: Tabs,
        promises: Promises | None = None,
    ) -> None:
        """Make a desk without work.

        Args:
            settings: The node's.
            view: The ledger as the node follows it.
            answers: Those of earlier lives that are kept.
            answered: The trees that were answered, kept or not.
            tabs: What payers owe.
            promises: Beginnings of texts that earlier lives signed.
        """
        self._settings = settings
        self._view = view
        self._answers = answers
        self._answered = answered
        self._tabs = tabs
        self._held: Held[str, Work] = Held(limit=settings.open_requests, code="node.busy")
        self.texts = TextDesk(settings, self._held, promises or Promises(), self._fail)
        self._held_bytes = 0
        self._answering: dict[Tree, str] = {}
        self._waiting: dict[str, str] = {}

    def __len__(self) -> int:
        """Count the pieces of work."""
        return len(self._held)

    @property
    def held_bytes(self) -> int:
        """Bytes of inputs that are held."""
        return self._held_bytes

    def take(
        self, conversation: str, message: HandOverWork, log: SessionLog | None, *, stopping: bool
    ) -> tuple[Wish, ...]:
        """Take a hand-over: new work, or a question for work or an answer that is there.

        Args:
            conversation: Who is to be answered.
            message: The hand-over.
            log: The node's session, None while it has none.
            stopping: Whether the node takes no new work.
        """
        try:
            handed = read_handover(message, self._settings, self._view)
            given = self._answers.get(handed.tree)
            if given is not None:
                return self._repeat(conversation, handed, given)
            self._check_not_answered(handed.tree)
            work = self._held.get(handed.digest.hex())
            if work is not None:
                return self._join(conversation, work)
            return self._accept(conversation, handed, message, None if stopping else log)
        except Refusal as refusal:
            if stopping and refusal.code == "node.not-ready":
                refusal = Refusal("node.stopping", "this node takes no work", hint="ask another")
            return (refuse(conversation, refusal),)

    def forget(self, conversation: str) -> tuple[Wish, ...]:
        """Learn that an asker went away; the work goes on, it was promised."""
        digest = self._waiting.pop(conversation, None)
        work = self._held.get(digest) if digest is not None else None
        if work is not None:
            work.askers.pop(conversation, None)
        return ()

    def take_accepted(self, digest: str) -> tuple[Wish, ...]:
        """Say that the work is accepted: that is on disk now."""
        work = self._held.get(digest)
        if work is None:
            return ()
        work.durable = True
        said = Accepted(record=work.accepted)
        told = tuple(Reply(asker, said, last=False) for asker in work.askers)
        return (*told, *tell_news(work))

    def take_computed(
        self, digest: str, outcome: tuple[Tensor, ...] | Refusal | Fault
    ) -> tuple[Wish, ...]:
        """Give the outputs their place in the log, or say why there are none."""
        work = self._held.get(digest)
        if work is None:
            return ()
        if isinstance(outcome, Refusal | Fault):
            return self._fail(digest, work, outcome)
        # A text may be whole with the prefix that it began with.
        return (*pledge(work), *self._take_outcome(digest, work, outcome))

    def _take_outcome(
        self, digest: str, work: Work, outcome: tuple[Tensor, ...]
    ) -> tuple[Wish, ...]:
        tree = work.handed.tree
        given = self._answers.get(tree)
        if given is not None:
            self._remove(digest, work)
            return tuple(reply for asker in work.askers for reply in self._tell(asker, given))
        first = self._held.get(self._answering.get(tree, ""))
        if first is not None:
            # Another branch of the same tree has its index already: one answer serves both.
            self._remove(digest, work)
            for asker in work.askers:
                first.askers[asker] = None
                self._waiting[asker] = self._answering[tree]
            # The receipt will cite the other branch's acceptance, which they may never have heard.
            if not first.durable:
                return ()  # they hear of it with the others
            said = Accepted(record=first.accepted)
            return tuple(Reply(asker, said, last=False) for asker in work.askers)
        try:
            self._check_not_answered(tree)
        except Refusal as refusal:
            return self._fail(digest, work, refusal)
        try:
            check_tensors_match(work.manifest.outputs, outcome)
            for tensor in outcome:
                check_tensor(tensor)
            if work.writing is not None:
                work.writing.check(outcome)
        except (Refusal, Fault) as refusal:
            fault = Fault(
                "node.wrong-outputs",
                f"the model's outputs are not what its manifest says: {refusal}",
                retryable=True,
            )
            return self._fail(digest, work, fault)
        try:
            payload = self._write_receipt(digest, work, outcome)
        except Refusal as refusal:
            return self._fail(digest, work, refusal)
        return self._enter(digest, work, payload, outcome)

    def take_answered(self, digest: str) -> tuple[Wish, ...]:
        """Sign and send: the answer is on disk."""
        work = self._held.get(digest)
        if work is None or work.answer is None:
            return ()
        work.log.mark_durable(work.index + 1)
        self._remove(digest, work)
        self._tabs.state(work.charge, work.answer.payload)
        self._answers.put(work.handed.tree, work.answer)
        self._answered.put(work.handed.tree)
        message = self._sign(work.answer)
        return tuple(Reply(asker, message) for asker in work.askers)

    def _check_not_answered(self, tree: Tree) -> None:
        """Check that no answer was given and forgotten: a second one would have another index.

        Raises:
            Refusal: `handover.answered-before`.
        """
        if tree in self._answered:
            raise Refusal(
                "handover.answered-before",
                "this request was answered; its content is not kept any more",
                hint="the receipt is in the log; hand the request over to another node",
            )

    def _accept(
        self,
        conversation: str,
        handed: HandedOver,
        message: HandOverWork,
        log: SessionLog | None,
    ) -> tuple[Wish, ...]:
        params = self._view.get_params()
        if log is None or params is None:
            raise Refusal("node.not-ready", "this node has no log session yet", hint="ask later")
        manifest = check_work(
            handed,
            message,
            self._settings,
            height=self._view.height,
            window_blocks=params.answer_window_blocks,
        )
        size = sum(len(tensor.data) for tensor in message.inputs)
        if self._held_bytes + size > self._settings.open_bytes:
            raise Refusal("node.busy", "too many bytes of inputs are held", hint="try later")
        digest = handed.digest.hex()
        work = begin_work(handed, message, manifest, self._settings, log)
        work.askers[conversation] = None
        self.texts.check_room(work)
        self._held.add(digest, work)
        try:
            voucher = reserve_price(handed, message, self._settings, self._tabs)
        except Refusal:
            self._held.remove(digest)
            raise
        self._held_bytes += size
        self._waiting[conversation] = digest
        return start(work, message, voucher)

    def _join(self, conversation: str, work: Work) -> tuple[Wish, ...]:
        if len(work.askers) >= _ASKERS:
            raise Refusal("node.busy", "enough conversations wait for this work", hint="wait")
        work.askers[conversation] = None
        self._waiting[conversation] = work.handed.digest.hex()
        if not work.durable:
            return ()
        told: list[Accepted | Produced] = [Accepted(record=work.accepted)]
        if work.writing is not None and work.writing.said:
            told.append(work.writing.show_all())
        return tuple(Reply(conversation, message, last=False) for message in told)

    def _repeat(
        self, conversation: str, handed: HandedOver, given: GivenAnswer
    ) -> tuple[Wish, ...]:
        if given.request_digest != handed.record.request_digest:
            raise Refusal(
                "handover.other-facts", "this custody tree was answered for another request"
            )
        return self._tell(conversation, given)

    def _tell(self, conversation: str, given: GivenAnswer) -> tuple[Wish, ...]:
        """Say an answer again, with the acceptance that its receipt cites."""
        return (
            Reply(conversation, Accepted(record=given.accepted), last=False),
            Reply(conversation, self._sign(given)),
        )

    def _write_receipt(self, digest: str, work: Work, outputs: tuple[Tensor, ...]) -> bytes:
        """Encode the receipt for the next entry of the log.

        Raises:
            Refusal: `node.answer-too-large`: written down, the answer could be neither sent nor
                read again, and with it the whole journal.
        """
        params = self._view.get_params()
        assert params is not None, "work is accepted only once the parameters are known"
        include_by = self._view.height + params.include_window_blocks
        receipt = make_receipt(work, outputs, self._settings, include_by)
        payload = encode_receipt(state_charge(receipt, digest, self._settings, self._tabs))
        size = sum(len(tensor.data) for tensor in outputs)
        if size > limits.ANSWER_BYTES or len(payload) > limits.STATEMENT_BYTES:
            raise Refusal(
                "node.answer-too-large",
                f"outputs of {size} bytes, a receipt of {len(payload)}",
                hint="ask for less at a time",
            )
        return payload

    def _enter(
        self, digest: str, work: Work, payload: bytes, outputs: tuple[Tensor, ...]
    ) -> tuple[Wish, ...]:
        """Append the answer to the log: from here on its index is taken."""
        work.index = work.log.append(sha256(payload))
        if price_units := self._settings.price_units:
            work.charge = self._tabs.charge(digest, price_units)
        work.answer = GivenAnswer(
            request_digest=work.handed.record.request_digest,
            accepted=work.accepted,
            payload=payload,
            outputs=outputs,
        )
        self._answering[work.handed.tree] = digest
        record = AnsweredRecord(
            session=work.log.session,
            index=work.index,
            request_id=work.handed.record.request_id,
            record_digest=work.handed.digest,
            payload=payload,
            outputs=outputs,
        )
        return (Journal(f"{ANSWER}{digest}", (encode(record),)),)

    def _sign(self, given: GivenAnswer) -> Answered:
        envelope = sign_envelope(given.payload, (self._settings.signer,))
        return Answered(receipt=encode_document(envelope), outputs=given.outputs)

    def _fail(self, digest: str, work: Work, error: Refusal | Fault) -> tuple[Wish, ...]:
        self._remove(digest, work)
        level = "warning" if isinstance(error, Refusal) else "error"
        where = (("request", work.handed.record.request_id),)
        report = Report(level, error.code, error.message, where)
        return (report, *(refuse(asker, error) for asker in work.askers))

    def _remove(self, digest: str, work: Work) -> None:
        self._held.remove(digest)
        self._held_bytes -= work.input_bytes
        self._tabs.release(digest)
        for asker in work.askers:
            self._waiting.pop(asker, None)
        if self._answering.get(work.handed.tree) == digest:
            del self._answering[work.handed.tree]
