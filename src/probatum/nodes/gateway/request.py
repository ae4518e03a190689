"""One request at a gateway: its facts, who waits for it, its hand-overs, and its release.

Must not know messages' transport or other requests (`request_desk`).
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from probatum.client.tabs import Charge
from probatum.errors import Refusal
from probatum.machine.events import Moment
from probatum.machine.machine import draw
from probatum.nodes.gateway.branches import Branch, CheckedAnswer
from probatum.nodes.gateway.journal_records import ChargedRecord, Cost, Paid, ReleasedRecord
from probatum.nodes.gateway.reading import Reading
from probatum.nodes.gateway.settings import GatewaySettings
from probatum.nodes.gateway.till import FREE, Fare
from probatum.protocol import limits
from probatum.protocol.bundles import Bundle, encode_bundle
from probatum.protocol.custody import Release, encode_release
from probatum.protocol.dsse import Envelope, sign_envelope
from probatum.protocol.encoding import encode, encode_document
from probatum.protocol.hashing import hash_tagged, sha256
from probatum.protocol.hexes import digest_from_hex
from probatum.protocol.logprobs import check_logprobs_told, compute_logprobs_bytes
from probatum.protocol.manifests import Manifest, check_dims_admitted, check_tensors_match
from probatum.protocol.messages import Answer, Ask, AskLogprobs, Refused
from probatum.protocol.primitives import (
    Address,
    Digest,
    RequestId,
    Salt,
    check_request_id,
    make_nonce,
    make_request_id,
    make_salt,
)
from probatum.protocol.receipts import Receipt
from probatum.protocol.requests import ModelRef, RequestFacts
from probatum.protocol.tensors import (
    Tensor,
    TensorHead,
    check_tensor,
    compute_salt_commitment,
    make_tensor_head,
)
from probatum.protocol.texts import read_question

__all__ = [
    "Asker",
    "OpenRequest",
    "Outcome",
    "check_ask",
    "check_inputs",
    "compute_ask_digest",
    "find_canonical",
    "make_released_record",
    "make_request",
    "release",
]

Outcome: TypeAlias = Answer | Refused
"""What those who asked are told in the end."""


class Asker(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: a conversation, and who speaks in it as the door established (or empty)."""

    conversation: str
    caller: str = ""


class OpenRequest(msgspec.Struct, kw_only=True):
    """A request that the gateway holds.

    Attributes:
        manifest: What the model takes and gives; the inputs have been held to it.
        caller: Who asked, as the door established; empty for anybody.
        reading: What was heard of its text; None of any other model.
        node: The one operator who may answer; None for anybody.
        ask_digest: What was asked for, as `compute_ask_digest` sees it; None: not to be repeated.
        askers: Conversations to answer.
        tried: Operators that were tried in this round.
        rounds: How often all nodes were tried.
        reason: Why the last branch failed.
        fare: What it may cost.
        opener: What this life of the gateway drew, if the answer will be charged for.
        charge: What was charged to an escrow for the answer.
        least_units: The least price above the fare's ceiling that somebody asks, if any.
        awaits_funds: Whether a node could answer once the gateway's escrow is filled.
        cancels: How often nodes were told that nobody wants more of its text.
        outcome: Set once the release is on its way to the disk; `bundle` with it, and `answer`
            if there is one.
    """

    request_id: RequestId
    facts: RequestFacts
    facts_bytes: bytes
    digest: Digest
    package: Digest
    manifest: Manifest
    caller: str
    salt: Salt
    inputs: tuple[Tensor, ...]
    ask_digest: Digest | None
    deadline_ms: int
    askers: dict[str, None]
    reading: Reading | None = None
    node: Address | None = None
    branches: list[Branch] = msgspec.field(default_factory=list)
    tried: set[Address] = msgspec.field(default_factory=set)
    rounds: int = 0
    reason: str = "gateway.no-node"
    fare: Fare = FREE
    opener: Digest | None = None
    charge: Charge | None = None
    least_units: int = 0
    awaits_funds: bool = False
    cancels: int = 0
    outcome: Outcome | None = None
    answer: CheckedAnswer | None = None
    bundle: bytes = b""

    @property
    def input_bytes(self) -> int:
        """Bytes of its inputs, and of the logprobs that it may come to hold."""
        inputs = sum([len(tensor.data) for tensor in self.inputs])
        reading = self.reading
        if reading is None or reading.top_logprobs is None:
            return inputs
        return inputs + compute_logprobs_bytes(reading.top_logprobs, reading.limit)


def compute_ask_digest(ask: Ask, heads: tuple[TensorHead, ...] | None = None) -> Digest | None:
    """Compute what tells a repeated request from another one under the same id.

    Salt and nonce count as the client gave them; time left, payment and streaming do not count.

    Args:
        ask: What was asked.
        heads: Its inputs' heads under its salt, if they are computed already.

    Returns:
        None for a request without a salt of the client's: it cannot be repeated.
    """
    if ask.salt is None:
        return None
    salt = ask.salt
    heads = heads or tuple(make_tensor_head(salt, tensor) for tensor in ask.inputs)
    rest = msgspec.structs.replace(
        ask, inputs=(), request_id=None, timeout_ms=0, payment=None, stream=False
    )
    return hash_tagged("probatum/ask/1", encode(rest), *(encode_document(head) for head in heads))


def check_ask(ask: Ask) -> None:
    """Check what a client asks before anything is hashed or drawn.

    Raises:
        Refusal: `primitive.bad-request-id`, `gateway.too-large`, `tensor.*`.
    """
    if ask.request_id is not None:
        check_request_id(ask.request_id)
    if sum([len(tensor.data) for tensor in ask.inputs]) > limits.REQUEST_BYTES:
        raise Refusal(
            "gateway.too-large",
            f"more than {limits.REQUEST_BYTES} bytes of inputs",
            hint="split the request",
        )
    for tensor in ask.inputs:
        check_tensor(tensor)


def check_inputs(manifest: Manifest, ask: Ask) -> None:
    """Hold a request to the model's manifest (`CANON-8`, `TEXT-1`).

    Raises:
        Refusal: `schema.*`, `text.*`; `text.no-model` for logprobs of what is no text.
    """
    dims = check_tensors_match(manifest.inputs, ask.inputs)
    if manifest.language is not None:
        if manifest.text is not None and ask.arithmetic != "exact":
            raise Refusal(
                "text.not-float",
                "a language model of this kind answers in the class exact alone",
                hint="ask for the class exact",
            )
        if manifest.upstream is not None and ask.arithmetic != "float":
            raise Refusal(
                "text.not-exact",
                "another program runs this language model: nobody can compute its texts again",
                hint="ask for the class float, which proves who said it, or another model",
            )
        question = read_question(manifest, ask.inputs)
        if isinstance(ask, AskLogprobs):
            check_logprobs_told(manifest.language, ask.top_logprobs, question.limit)
    elif isinstance(ask, AskLogprobs):
        raise Refusal("text.no-model", "this model writes no text: it has no logprobs")
    elif ask.arithmetic == "exact":
        check_dims_admitted(manifest, dims)


def find_canonical(ask: Ask, manifest: Manifest) -> str | None:
    """Find the canonical digest that the facts of a request name: in class `exact` alone."""
    if ask.arithmetic != "exact" or manifest.canonical is None:
        return None
    return manifest.canonical.digest


def make_request(
    ask: Ask,
    package: Digest,
    manifest: Manifest,
    settings: GatewaySettings,
    asker: Asker,
    moment: Moment,
) -> OpenRequest:
    """Make a request of what a client asks; draw what the client left to the gateway.

    Args:
        ask: What was asked; `check_ask` has passed it.
        package: The package that the ledger knows under the model's name.
        manifest: Its manifest; the inputs have been held to it.
        settings: The gateway's.
        asker: Who asks.
        moment: Chance for request id, salt and nonce (`SALT-1`); the time.
    """
    request_id = ask.request_id or make_request_id(draw(moment, "request-id")[:16])
    salt = ask.salt or make_salt(draw(moment, "salt"))
    nonce = ask.nonce or make_nonce(draw(moment, "nonce"))
    facts = RequestFacts(
        request_id=request_id,
        model=ModelRef(package=package.hex(), canonical=find_canonical(ask, manifest)),
        arithmetic=ask.arithmetic,
        assurance=ask.assurance,
        inputs=tuple([make_tensor_head(salt, tensor) for tensor in ask.inputs]),
        salt_commitment=compute_salt_commitment(salt).hex(),
        salt_by="client" if ask.salt else "gateway",
        nonce=nonce.hex(),
        nonce_by="client" if ask.nonce else "gateway",
    )
    facts_bytes = encode_document(facts)
    longest_ms = settings.text_timeout_ms if manifest.language else settings.request_timeout_ms
    timeout_ms = min(ask.timeout_ms or longest_ms, longest_ms)
    return OpenRequest(
        request_id=request_id,
        facts=facts,
        facts_bytes=facts_bytes,
        digest=sha256(facts_bytes),
        package=package,
        manifest=manifest,
        caller=asker.caller,
        salt=salt,
        inputs=ask.inputs,
        ask_digest=compute_ask_digest(ask, facts.inputs),
        deadline_ms=moment.now_ms + timeout_ms,
        askers={asker.conversation: None},
        reading=_begin_reading(ask, manifest, asker),
        node=ask.node,
    )


def _begin_reading(ask: Ask, manifest: Manifest, asker: Asker) -> Reading | None:
    """Make what a text is heard with. Raises Refusal as `read_question`."""
    if manifest.language is None:
        return None
    limit = read_question(manifest, ask.inputs).limit
    streams: dict[str, None] = {asker.conversation: None} if ask.stream else {}
    top = ask.top_logprobs if isinstance(ask, AskLogprobs) else None
    return Reading(model=manifest.language, limit=limit, streams=streams, top_logprobs=top)


def _find_cancellation(request: OpenRequest, receipt: Receipt | None) -> Envelope | None:
    """Find the cancellation that a receipt names (`TEXT-1`)."""
    reading = request.reading
    if reading is None or reading.cancelled is None or not (receipt and receipt.cancelled):
        return None
    return reading.cancelled[0]


def release(
    request: OpenRequest,
    answer: CheckedAnswer | None,
    settings: GatewaySettings,
    height: int,
    paid: Paid | None = None,
) -> bytes:
    """Sign the gateway's last record about a request and return the pending bundle (`CUSTODY-1`).

    Args:
        request: At least one hand-over was opened for it.
        answer: The answer that counts, None if there is none.
        settings: The gateway's.
        height: The gateway's view of the ledger.
        paid: What the answer costs who asked (`PAY-1`), None if nothing.
    """
    asked = (request.facts.assurance,)
    receipt: Receipt | None = answer.receipt if answer else None
    obtained = (receipt.evidence,) if receipt else ()
    branches = tuple([branch.digest.hex() for branch in request.branches])
    record = Release(
        request_id=request.request_id,
        request_digest=request.digest.hex(),
        gateway=settings.party,
        outcome="answered" if receipt else "failed",
        asked=asked,
        obtained=obtained,
        missing=tuple([kind for kind in asked if kind not in obtained]),
        released_at=height,
        branches=branches,
        acknowledged=tuple(
            [
                digest
                for digest, branch in zip(branches, request.branches, strict=True)
                if len(branch.envelope.signatures) > 1
            ]
        ),
        previous=branches[0],
        receipt=answer.entry.hex() if answer else None,
        answered_branch=receipt.custody if receipt else None,
        reason=None if receipt else request.reason[: limits.NAME_CHARS],
        price_units=paid.price_units if paid and paid.voucher else 0,
        escrow=paid.voucher.voucher.escrow.hex() if paid and paid.voucher else None,
        running_total_units=paid.running_total_units if paid else None,
    )
    bundle = Bundle(
        format="probatum-bundle/1",
        custody=tuple([branch.envelope for branch in request.branches]),
        release=sign_envelope(encode_release(record), (settings.signer,)),
        receipt=answer.envelope if answer else None,
        cancellation=_find_cancellation(request, receipt),
    )
    return encode_bundle(bundle)


def make_released_record(request: OpenRequest, paid: Paid | None) -> ReleasedRecord | ChargedRecord:
    """Make what is written down of a request that was released; its bundle is there."""
    answer = request.answer
    if answer is None or paid is None:
        return ReleasedRecord(
            request_id=request.request_id, bundle=request.bundle, answered=answer is not None
        )
    receipt, cost = answer.receipt, None
    if receipt.escrow is not None and receipt.running_total_units is not None:
        cost = Cost(
            escrow=digest_from_hex(receipt.escrow),
            price_units=receipt.price_units,
            running_total_units=receipt.running_total_units,
        )
    return ChargedRecord(request_id=request.request_id, bundle=request.bundle, paid=paid, cost=cost)
