"""What who has texts written is promised (`TEXT-1`): a wrong one is found by rechecking it.

Every text that a customer took is the rule's, or its receipt convicts a node that wrote otherwise;
no token that was told is lost or altered, unless some node lied; no prefix is refused unless it
is wrong. Reads notebooks. Must not know machines.
"""

from __future__ import annotations

from probatum.errors import Misuse
from probatum.evidence.receipt import VerifiedBundle
from probatum.evidence.texts import find_text_fault
from probatum.protocol.primitives import address_to_hex
from probatum.protocol.texts import read_answer, read_question
from probatum.storm import text_model
from probatum.storm.cast.customer import Request
from probatum.storm.people import derive_account
from probatum.storm.world import World

__all__ = ["check_text_answer", "check_texts"]


def check_texts(world: World) -> None:
    """Check what is promised of all texts together."""
    counts = world.kernel.trace.counts
    for what in ("wrong prefixes refused", "texts told otherwise", "texts altered"):
        if counts[what] and not world.plan.scribblers:
            why = f"{what}: {counts[what]}, and nobody writes what the rule does not"
            world.kernel.trace.find("texts.unjust", "", why)


def check_text_answer(world: World, name: str, request: Request, final: VerifiedBundle) -> None:
    """Recheck a text whose receipt is settled, and see that this tells right from wrong."""
    trace = world.kernel.trace
    text = read_answer(request.outputs)
    question = read_question(text_model.MANIFEST, request.inputs)
    chosen = text_model.choose_all(question, request.nonce, text.ids)
    fault = find_text_fault(text_model.MODEL, question.limit, text, chosen, final.cancellation)
    right = text_model.write(text_model.PACKAGE, request.inputs, request.nonce, ())
    if not isinstance(right, tuple):
        raise Misuse("storm.no-text", "the toy model refuses a request that was answered")
    is_whole = text.ids == right
    is_begun = final.cancellation is not None and text.ids == right[: len(text.ids)]
    is_right = text.ended is is_whole and (is_whole or is_begun)
    if (fault is None) is not is_right:
        trace.find("texts.undetected", name, f"{request.request_id}: {fault}, of {text}")
    if fault is not None:
        trace.count(f"texts found wrong: {fault.why}")
        if final.receipt.node.account not in _list_scribblers(world):
            trace.find("texts.wrong", name, f"{request.request_id}: {fault}")
    if request.heard != text.ids[: len(request.heard)]:
        trace.count("texts altered")
    trace.count("tokens heard", len(request.heard))
    trace.count("texts cancelled", int(not text.ended))
    trace.count("texts gone on with", int(_is_resumed(final)))


def _list_scribblers(world: World) -> set[str]:
    return {
        address_to_hex(derive_account(world.kernel.seed, f"operator of node-{at}").address)
        for at in range(len(world.plan.scribblers))
    }


def _is_resumed(final: VerifiedBundle) -> bool:
    return any(
        branch.record.prefix is not None and branch.digest.hex() == final.receipt.custody
        for branch in final.branches
    )
