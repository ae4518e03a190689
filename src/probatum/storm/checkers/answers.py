"""What customers are promised: no acknowledged receipt is lost, no failure stays unexplained.

Every answer that a customer took is right and settles at its promised index; every failed request
is blamed on one party that cannot show an answer, or is `undetermined` with a reason; no gateway
passes on what does not hold; a fresh request succeeds once all is healed. Reads notebooks and
disks. Must not know machines.
"""

from __future__ import annotations

from probatum.consensus.trusting import make_header_check
from probatum.errors import Refusal
from probatum.evidence.blame import assign_blame
from probatum.evidence.receipt import check_bundle, check_contents, check_pending
from probatum.nodes.inference.journal_records import AnsweredRecord, decode_journal_record
from probatum.protocol.dsse import Envelope, sign_envelope
from probatum.storm import model
from probatum.storm.cast.customer import Request
from probatum.storm.checkers.chain import Replay
from probatum.storm.checkers.texts import check_text_answer, check_texts
from probatum.storm.court import is_ended
from probatum.storm.people import derive_operating
from probatum.storm.world import World

__all__ = ["check_answers"]


def check_answers(world: World, done: Replay) -> None:
    """Check every customer's notebook."""
    trace = world.kernel.trace
    refused = trace.counts["answers refused by customers"]
    if refused and not world.plan.weather.corrupt:
        why = f"{refused} answers passed a gateway and not their customer, and no wire altered them"
        trace.find("answers.passed-on", "", why)
    for name, notebook in sorted(world.notebooks.items()):
        for request in notebook.requests:
            trace.count("requests")
            if request.stand == "answered" and is_ended(world, request):
                trace.count("answers that cheats or lost disks left unsettled")
                continue
            if request.last and request.stand != "settled":
                why = f"a request after the storm is {request.stand} ({request.code})"
                trace.find("answers.no-liveness", name, why)
            match request.stand:
                case "settled":
                    _check_settled(world, name, request)
                case "failed":
                    _check_failed(world, done, name, request)
                case _:
                    why = f"{request.request_id} is still {request.stand} ({request.code})"
                    trace.find("answers.no-end", name, why)

    check_texts(world)


def _check_settled(world: World, name: str, request: Request) -> None:
    trace = world.kernel.trace
    assert request.bundle is not None
    assert request.settled is not None
    try:
        pending = check_pending(request.bundle)
        final = check_bundle(request.settled, make_header_check(world.trust, world.genesis.time_ms))
        check_contents(final, request.salt, request.inputs, request.outputs)
    except Refusal as refusal:
        trace.find("answers.bad-bundle", name, f"{request.request_id}: {refusal}")
        return
    if pending.receipt_digest != final.receipt_digest:
        trace.find("answers.other-receipt", name, f"{request.request_id} settled another receipt")
    if world.plan.texts:
        check_text_answer(world, name, request, final)
    elif request.outputs != model.compute(model.PACKAGE, request.inputs):
        trace.find("answers.wrong", name, f"{request.request_id} has a wrong answer")
    trace.count("answers acknowledged and settled")
    trace.count("fail-overs", len(final.branches) - 1)
    late = final.settlement and final.settlement.log.settled_at > final.receipt.log.include_by
    trace.count("answers settled late", int(bool(late)))


def _check_failed(world: World, done: Replay, name: str, request: Request) -> None:
    trace = world.kernel.trace
    trace.count("requests failed")
    if request.bundle is None:
        # The gateway forgot the request before it released it, or never had it: the customer
        # holds nothing that anybody signed, so no duty has moved and nobody can be named.
        trace.count("blame undetermined: no records")
        return
    height = max(done.headers, default=0)
    try:
        shown = _find_answers(world, request, request.bundle)
        blame = assign_blame(request.bundle, height, answers=tuple(shown.values()))
    except Refusal as refusal:
        trace.find("answers.bad-records", name, f"{request.request_id}: {refusal}")
        return
    trace.count(f"blame {blame.status}")
    if blame.status == "open" or not blame.reason:
        trace.find("answers.no-blame", name, f"{request.request_id}: {blame}")
    if (blame.party is None) == (blame.status in {"lost", "covered"}):
        trace.find("answers.no-blame", name, f"{request.request_id}: {blame}")
    if blame.status == "lost" and blame.party is not None and blame.party.key in shown:
        why = f"{blame.party.account} is blamed for {request.request_id}, which it answered"
        trace.find("answers.unjust-blame", name, why)


def _find_answers(world: World, request: Request, bundle: bytes) -> dict[str, Envelope]:
    """What nodes can show for themselves: receipts about this very custody tree, by key."""
    shown: dict[str, Envelope] = {}
    for name, role in sorted(world.roles.items()):
        if role != "inference":
            continue
        signer = derive_operating(world.kernel.seed, name)
        for data in world.kernel.parties[name].disk.journal:
            record = decode_journal_record(data)
            if not isinstance(record, AnsweredRecord) or record.request_id != request.request_id:
                continue
            envelope = sign_envelope(record.payload, (signer,))
            try:
                assign_blame(bundle, 0, answers=(envelope,))
            except Refusal:
                continue  # it answers another custody tree under the same request id
            shown[signer.key.hex()] = envelope
    return shown
