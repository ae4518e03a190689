"""One piece of work: what was accepted, who waits for it, how it begins, what its receipt says.

Must not know other work, or what became of it (`work`).
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from probatum.client.tabs import Charge
from probatum.errors import Refusal
from probatum.machine.wishes import Compute, Generate, Journal, Wish
from probatum.nodes.inference.handover import HandedOver, check_given_prefix, countersign
from probatum.nodes.inference.journal_records import AcceptedRecord
from probatum.nodes.inference.logbook import SessionLog
from probatum.nodes.inference.recovery import GivenAnswer
from probatum.nodes.inference.settings import InferenceSettings
from probatum.nodes.inference.writing import Writing
from probatum.protocol.encoding import encode
from probatum.protocol.hexes import digest_from_hex
from probatum.protocol.logprobs import check_logprobs_told
from probatum.protocol.manifests import Manifest
from probatum.protocol.messages import HandOverLogprobs, HandOverWork
from probatum.protocol.primitives import Salt
from probatum.protocol.receipts import LogPosition, Receipt
from probatum.protocol.tensors import Tensor, make_tensor_head
from probatum.protocol.texts import read_answer, read_question

__all__ = ["ACCEPT", "VOUCHER", "Work", "begin_work", "make_receipt", "pledge", "start"]

ACCEPT = "accept:"
VOUCHER = "voucher:"
"""Before a record's digest: tickets of the journal."""


@dataclass(slots=True, kw_only=True)
class Work:
    """One accepted hand-over.

    Attributes:
        accepted: The countersigned envelope.
        pledge: What is to be written down with the acceptance; None once it is on its way.
        writing: There if a text is being written.
        durable: Whether the acceptance is on disk, and so may be said.
        charge: What its receipt charges, once there is one.
        answer: Set when the answer has its place in the log; it is on its way to the disk.
        index: Its place in the log, once there is an answer.
    """

    handed: HandedOver
    manifest: Manifest
    salt: Salt
    input_bytes: int
    accepted: bytes
    log: SessionLog
    pledge: tuple[bytes, ...] | None = ()
    writing: Writing | None = None
    askers: dict[str, None] = field(default_factory=dict)
    durable: bool = False
    charge: Charge | None = None
    answer: GivenAnswer | None = None
    index: int = 0


def begin_work(
    handed: HandedOver,
    message: HandOverWork,
    manifest: Manifest,
    settings: InferenceSettings,
    log: SessionLog,
) -> Work:
    """Make a piece of work of a hand-over that was checked; nobody waits for it yet.

    Raises:
        Refusal: `text.*`, and those of `check_given_prefix`.
    """
    return Work(
        handed=handed,
        manifest=manifest,
        salt=message.salt,
        input_bytes=sum(len(tensor.data) for tensor in message.inputs),
        writing=_begin_text(handed, message, manifest),
        accepted=countersign(handed, settings.signer),
        log=log,
    )


def _begin_text(handed: HandedOver, message: HandOverWork, manifest: Manifest) -> Writing | None:
    """Begin a text, or go on with one; None of any other model."""
    given = check_given_prefix(handed, message)
    top = message.top_logprobs if isinstance(message, HandOverLogprobs) else None
    if manifest.language is None:
        if given or top is not None:
            raise Refusal("text.no-model", "this model writes no text")
        return None
    question = read_question(manifest, message.inputs)
    if len(given) > question.limit:
        raise Refusal("text.other-prefix", "the prefix is longer than the answer may be")
    if top is not None:
        check_logprobs_told(manifest.language, top, question.limit)
    return Writing(
        model=manifest.language,
        prompt=len(question.prompt),
        limit=question.limit,
        request_id=handed.record.request_id,
        request_digest=handed.record.request_digest,
        custody=handed.digest.hex(),
        salt=message.salt,
        ids=array("I", given),
        said=len(given),
        signed=len(given),
        top_logprobs=top,
    )


def start(work: Work, message: HandOverWork, voucher: tuple[bytes, ...]) -> tuple[Wish, ...]:
    """Write the acceptance down and begin to compute.

    Nobody is told anything before it is on disk; until then computing costs nobody but us. Who goes
    on with another's text checks it before it accepts: a wrong one moves no duty (`TEXT-1`).

    Args:
        work: The work.
        message: The hand-over.
        voucher: What of its payment is to be written down; at once: other work may lean on it.
    """
    record = work.handed.record
    digest = work.handed.digest.hex()
    accepted = AcceptedRecord(
        session=work.log.session,
        request_id=record.request_id,
        record_digest=work.handed.digest,
        envelope=work.accepted,
        answer_by=record.answer_by,
    )
    facts = work.handed.facts
    package = digest_from_hex(facts.model.package)
    compute: Wish = Compute(digest, package, message.inputs, facts.arithmetic)
    if work.writing is not None:
        nonce, prefix = bytes.fromhex(facts.nonce), tuple(work.writing.ids)
        top = work.writing.top_logprobs
        compute = Generate(digest, package, message.inputs, nonce, prefix, top)
        if prefix:
            work.pledge = (encode(accepted),)
            return (*((Journal(f"{VOUCHER}{digest}", voucher),) if voucher else ()), compute)
    work.pledge = (*voucher, encode(accepted))
    return (*pledge(work), compute)


def pledge(work: Work) -> tuple[Wish, ...]:
    """Write the acceptance down, once."""
    records, work.pledge = work.pledge, None
    if records is None:
        return ()
    return (Journal(f"{ACCEPT}{work.handed.digest.hex()}", records),)


def make_receipt(
    work: Work, outputs: tuple[Tensor, ...], settings: InferenceSettings, include_by: int
) -> Receipt:
    """Make the receipt for the next entry of the log; its price is still to be stated."""
    opener = work.log.opener
    assert opener is not None, "only a session that this life opened is appended to"
    return Receipt(
        request=work.handed.facts,
        outputs=tuple(make_tensor_head(work.salt, tensor) for tensor in outputs),
        evidence="signed",
        node=settings.party,
        log=LogPosition(
            session=work.log.session,
            index=len(work.log),
            include_by=include_by,
            opener=opener.hex(),
        ),
        custody=work.handed.digest.hex(),
        cancelled=_find_cancelled(work, outputs),
    )


def _find_cancelled(work: Work, outputs: tuple[Tensor, ...]) -> str | None:
    """Find what the receipt of a text names that has not ended."""
    if work.writing is None or work.writing.cancellation is None or read_answer(outputs).ended:
        return None
    return work.writing.cancellation[1].hex()
