"""Computes the choices of a text again, by one prefill; says where the text is wrong (`TEXT-1`).

The same prefill has the logits, so it also tells how likely the model held each token.

Must not know receipts' stores or networks. Read next: `probatum.evidence.texts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from probatum.errors import Refusal
from probatum.evidence.texts import TextFault, find_text_fault
from probatum.protocol.logprobs import TokenLogprobs
from probatum.protocol.manifests import Manifest, check_tensors_match
from probatum.protocol.prefixes import Cancellation
from probatum.protocol.receipts import Receipt
from probatum.protocol.tensors import Tensor
from probatum.protocol.texts import read_answer, read_question
from probatum.runtime.text.engine import TextEngine
from probatum.runtime.text.requests import TextRequest, TextScore, get_text_model

__all__ = ["RecheckedText", "recheck_text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecheckedText:
    """What came of it.

    Attributes:
        fault: The first one, None if the text is right.
        logprobs: Of the answer's tokens, as far as they are tokens; empty if none were wanted.
    """

    fault: TextFault | None
    logprobs: tuple[TokenLogprobs, ...] = ()


def recheck_text(
    receipt: Receipt,
    manifest: Manifest,
    weights: Path,
    inputs: tuple[Tensor, ...],
    outputs: tuple[Tensor, ...],
    cancellation: Cancellation | None,
    *,
    threads: int = 1,
    top_logprobs: int | None = None,
) -> RecheckedText:
    """Recheck a text.

    Args:
        receipt: Of class `exact`, about these inputs and outputs.
        manifest: Its package's.
        weights: Its package's file of weights, held to the manifest.
        inputs: What was asked.
        outputs: What was answered.
        cancellation: The one that the receipt names, None if it names none.
        threads: To compute with.
        top_logprobs: How many alternatives are wanted beside each token's logprob; None where no
            logprobs are.

    Raises:
        Refusal: `receipt.other-meaning`, `schema.*`, `text.*`.
        Fault: `text.*`, `canon.unsound-arithmetic`.
    """
    model = get_text_model(manifest)
    if manifest.canonical is None or receipt.request.model.canonical != manifest.canonical.digest:
        raise Refusal(
            "receipt.other-meaning", "the receipt names another canonical digest than its package"
        )
    question = read_question(manifest, inputs)
    check_tensors_match(manifest.outputs, outputs)
    answer = read_answer(outputs)
    # One token behind the limit is enough to see that the text goes on.
    ids = answer.ids[: min(question.limit + 1, model.context - len(question.prompt))]
    none = next((at for at, one in enumerate(ids) if not 0 <= one < model.vocabulary), len(ids))
    request = TextRequest(
        prompt=question.prompt,
        limit=question.limit,
        temperature=question.temperature,
        top_k=question.top_k,
        choice=question.choice,
        nonce=bytes.fromhex(receipt.request.nonce),
        top_logprobs=top_logprobs,
    )
    scored = TextScore(chosen=(), ended=False)
    if none:
        engine = TextEngine(manifest, weights, threads=threads)
        try:
            scored = engine.score(request, ids[:none])
        finally:
            engine.close()
    fault = find_text_fault(model, question.limit, answer, scored.chosen, cancellation)
    return RecheckedText(fault=fault, logprobs=scored.logprobs)
