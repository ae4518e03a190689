"""A patient customer: asks, checks what it is told, keeps every word, comes back for the proof.

Draws its own salt, nonce and request id, so that a repetition is the same request. Keeps at an
answer only what passed its checks; whatever it kept, the network has acknowledged, and
`checkers` holds the network to it. Its notebook outlives it. Must not know nodes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from probatum.consensus.trusting import make_header_check
from probatum.errors import Refusal
from probatum.evidence.receipt import (
    check_bundle,
    check_contents,
    check_pending,
    check_records,
)
from probatum.machine.events import Event, Fired, Moment, Returned, Started, Unreachable
from probatum.machine.machine import draw
from probatum.machine.wishes import Send, SetTimer, Wish
from probatum.protocol.bundles import decode_bundle
from probatum.protocol.eip712 import Domain
from probatum.protocol.messages import (
    Answer,
    Ask,
    CancelText,
    GetBundle,
    GotBundle,
    Message,
    Payment,
    Produced,
    Refused,
)
from probatum.protocol.prefixes import check_prefix, open_prefix
from probatum.protocol.primitives import (
    Digest,
    Nonce,
    RequestId,
    Salt,
    make_nonce,
    make_request_id,
    make_salt,
)
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.tensors import Tensor
from probatum.protocol.texts import unpack_ids
from probatum.protocol.trust import Trust
from probatum.protocol.vouchers import Voucher, sign_voucher
from probatum.storm import model, text_model
from probatum.storm.plan import Plan
from probatum.storm.trace import Trace

__all__ = ["Customer", "Notebook", "Purse", "Request"]

Stand: TypeAlias = Literal["asking", "answered", "settled", "failed"]

_ATTEMPTS: Final = 6
_AGAIN_MS: Final = 1_500
_POLL_MS: Final = 4_000
_POLLS: Final = 40
"""How often a failed request's records are asked for before there are taken to be none."""
_SLACK_MS: Final = 3_000


@dataclass(slots=True, kw_only=True)
class Request:
    """One request and all that came of it.

    Attributes:
        stand: ``answered``: an answer passed all checks; ``settled``: so did its settled bundle;
            ``failed``: refused for good, or given up.
        code: Code of the last refusal or failure.
        bundle: With an answer its pending bundle, of a failure the gateway's records.
        settled: The settled bundle.
        last: A probe after the storm, which must succeed.
        heard: Tokens of its text that were told.
        enough_at: So many tokens of a text are enough; 0 for all of it.
    """

    request_id: RequestId
    salt: Salt
    nonce: Nonce
    inputs: tuple[Tensor, ...]
    stand: Stand = "asking"
    attempts: int = 0
    polls: int = 0
    code: str = ""
    outputs: tuple[Tensor, ...] = ()
    bundle: bytes | None = None
    settled: bytes | None = None
    last: bool = False
    heard: tuple[int, ...] = ()
    enough_at: int = 0


@dataclass(slots=True)
class Notebook:
    """All requests of one customer, in order; `probe` asks for one more."""

    requests: list[Request] = field(default_factory=list)
    probe: bool = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being asked and every answer is settled."""
        return not self.probe and all(r.stand in {"settled", "failed"} for r in self.requests)


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """What a customer pays its gateway with.

    Attributes:
        escrow: Its escrow for the gateway's operator.
        price_units: What an answer costs.
    """

    domain: Domain
    signer: AccountSigner
    escrow: Digest
    price_units: int

    def pay(self, number: int, request_id: RequestId) -> Payment:
        """Make the payment of the request of a number, counted from 1.

        Its voucher covers every request so far: some of those that failed may still be open.
        """
        voucher = Voucher(
            escrow=self.escrow, total_units=number * self.price_units, last_request=request_id
        )
        signed = sign_voucher(self.domain, self.signer, voucher)
        return Payment(voucher=signed, max_price_units=self.price_units)


class Customer:
    """Asks one request after another; polls for the proofs of all."""

    def __init__(
        self,
        gateway: str,
        plan: Plan,
        trust: Trust,
        notebook: Notebook,
        trace: Trace,
        purse: Purse | None = None,
    ) -> None:
        """Make a customer of one gateway; without a purse it pays nothing."""
        self._purse = purse
        self._gateway = gateway
        self._plan = plan
        self._trust = trust
        self._notebook = notebook
        self._trace = trace
        self._calls = 0

    def step(self, event: Event, moment: Moment) -> tuple[Wish, ...]:
        """Take one event."""
        match event:
            case Started():
                return (self._pause(moment), SetTimer("poll", _POLL_MS))
            case Fired(timer="next"):
                return self._ask_next(moment)
            case Fired(timer="again"):
                return self._ask(self._notebook.requests[-1])
            case Fired(timer="poll"):
                return (*self._poll(), SetTimer("poll", _POLL_MS))
            case Returned(call=call, message=Produced() as produced):
                return self._hear(self._notebook.requests[int(call.split(":")[1])], produced)
            case Returned(call=call, last=True) if call.startswith("enough:"):
                return ()
            case Returned(call=call, message=message, last=True):
                kind, at, _ = call.split(":")
                request = self._notebook.requests[int(at)]
                if kind == "bundle":
                    self._take_bundle(request, message, moment.now_ms)
                    return ()
                return self._take_answer(request, message, moment)
            case Unreachable(call=call, reason=reason) if call.startswith("ask:"):
                request = self._notebook.requests[int(call.split(":")[1])]
                return self._try_again(request, reason, moment)
            case _:
                return ()

    def _ask_next(self, moment: Moment) -> tuple[Wish, ...]:
        book = self._notebook
        if book.requests and book.requests[-1].stand == "asking":
            return (self._pause(moment),)
        if len(book.requests) >= self._plan.requests_per_client and not book.probe:
            return (self._pause(moment),)
        text = draw(moment, "inputs")
        request = Request(
            request_id=make_request_id(draw(moment, "request id")[:16]),
            salt=make_salt(draw(moment, "salt")),
            nonce=make_nonce(draw(moment, "nonce")),
            inputs=self._make_inputs(text),
            last=book.probe,
            enough_at=1 + text[31] % 40 if self._plan.texts and text[30] % 4 == 0 else 0,
        )
        book.probe = False
        book.requests.append(request)
        return self._ask(request)

    def _ask(self, request: Request) -> tuple[Wish, ...]:
        request.attempts += 1
        number = 1 + self._notebook.requests.index(request)
        ask = Ask(
            model=text_model.MANIFEST.name if self._plan.texts else model.MANIFEST.name,
            version=None,
            inputs=request.inputs,
            assurance="signed",
            salt=request.salt,
            nonce=request.nonce,
            request_id=request.request_id,
            timeout_ms=self._plan.request_timeout_ms,
            payment=self._purse.pay(number, request.request_id) if self._purse else None,
            arithmetic="exact" if self._plan.texts else "float",
            stream=self._plan.texts,
        )
        return (self._send("ask", request, ask, self._plan.request_timeout_ms + _SLACK_MS),)

    def _make_inputs(self, text: bytes) -> tuple[Tensor, ...]:
        if self._plan.texts:
            return text_model.make_input(text[: 4 + text[3] % 20])
        return (model.make_input(text[: 1 + text[0] % 32]),)

    def _hear(self, request: Request, message: Produced) -> tuple[Wish, ...]:
        """Hear more of a text; say that it is enough, perhaps."""
        ids = unpack_ids(message.ids)
        known = len(request.heard) - message.start
        if known < 0 or request.heard[message.start :][: len(ids)] != ids[:known]:
            self._trace.count("texts told otherwise")
            return ()
        request.heard += ids[known:]
        if message.prefix:
            self._take_prefix(request, message.prefix)
        if not request.enough_at or len(request.heard) < request.enough_at:
            return ()
        request.enough_at = 0
        self._trace.count("texts that were enough")
        enough = CancelText(request_id=request.request_id, salt=request.salt)
        return (self._send("enough", request, enough, 5_000),)

    def _take_prefix(self, request: Request, statement: bytes) -> None:
        """Hold a signed beginning to what was heard, perhaps from another gateway's life."""
        prefix, _ = open_prefix(statement)
        told = request.heard[: prefix.count]
        try:
            check_prefix(prefix, prefix.request_digest, request.salt, told)
        except Refusal:
            self._trace.count("texts told otherwise")
        else:
            self._trace.count("prefixes heard")

    def _poll(self) -> tuple[Wish, ...]:
        """Ask for one bundle that is still owed, the oldest first but not always the same."""
        owed = [
            request
            for request in self._notebook.requests
            if request.stand == "answered"
            or (request.stand == "failed" and request.bundle is None and request.polls < _POLLS)
        ]
        if not owed:
            return ()
        request = owed[self._calls % len(owed)]
        request.polls += 1
        return (self._send("bundle", request, GetBundle(request_id=request.request_id), 5_000),)

    def _take_answer(self, request: Request, message: Message, moment: Moment) -> tuple[Wish, ...]:
        match message:
            case Answer() as answer:
                try:
                    self._check(request, answer)
                except Refusal as refusal:
                    self._trace.count("answers refused by customers")
                    return self._try_again(request, refusal.code, moment)
                request.stand = "answered"
                request.outputs, request.bundle = answer.outputs, answer.bundle
                return (self._pause(moment),)
            case Refused(code=code, retryable=True):
                return self._try_again(request, code, moment)
            case Refused(code=code):
                return self._give_up(request, code, moment)
            case _:
                return self._try_again(request, "customer.wrong-reply", moment)

    def _check(self, request: Request, answer: Answer) -> None:
        verified = check_pending(answer.bundle)
        check_contents(verified, request.salt, request.inputs, answer.outputs)
        facts = verified.receipt.request
        package = text_model.PACKAGE if self._plan.texts else model.PACKAGE
        asked = (request.request_id, package.hex(), request.nonce.hex())
        if (facts.request_id, facts.model.package, facts.nonce) != asked:
            raise Refusal("customer.other-request", "the answer is to another request")

    def _take_bundle(self, request: Request, message: Message, now_ms: int) -> None:
        if not isinstance(message, GotBundle) or not message.settled:
            return
        try:
            if request.stand == "answered":
                check_bundle(message.bundle, make_header_check(self._trust, now_ms))
                request.settled, request.stand = message.bundle, "settled"
            else:
                _check_failure(request, message.bundle)
                request.bundle = message.bundle
        except Refusal as refusal:
            self._trace.count("bundles refused by customers")
            request.code = refusal.code

    def _try_again(self, request: Request, code: str, moment: Moment) -> tuple[Wish, ...]:
        if request.attempts >= _ATTEMPTS:
            return self._give_up(request, code, moment)
        request.code = code
        self._trace.count("requests repeated")
        return (SetTimer("again", _AGAIN_MS),)

    def _give_up(self, request: Request, code: str, moment: Moment) -> tuple[Wish, ...]:
        request.stand, request.code = "failed", code
        self._trace.count(f"requests failed {code}")
        return (self._pause(moment),)

    def _send(self, kind: str, request: Request, message: Message, timeout_ms: int) -> Send:
        self._calls += 1
        at = self._notebook.requests.index(request)
        return Send(f"{kind}:{at}:{self._calls}", self._gateway, message, timeout_ms)

    def _pause(self, moment: Moment) -> SetTimer:
        chance = int.from_bytes(draw(moment, "pause")[:4], "big")
        return SetTimer("next", chance % (2 * self._plan.ask_every_ms + 1))


def _check_failure(request: Request, bundle: bytes) -> None:
    """Check the records of a request that got no answer (they may show one that was lost)."""
    records = check_records(decode_bundle(bundle))
    if records.release.request_id != request.request_id:
        raise Refusal("customer.other-request", "the records are of another request")
