"""`probatum receipt recheck`: computes an answer again, here, and says right or wrong.

Offline: receipt, request and package are at hand. A text is not written again: one prefill tells
the rule's choice at all its places (`TEXT-1`). Must not know how anything is evaluated.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from probatum.cli.bundles import ContentFiles, find_bundle, is_request_id, load_tensors, resolve
from probatum.cli.failures import OK, REFUSED
from probatum.cli.fetching import open_store
from probatum.cli.logprobs import PlaceShown, list_places, say_places
from probatum.cli.output import print_json, print_lines, waiting
from probatum.cli.places import expand_home
from probatum.cli.settings import DEFAULTS, Common, read_bounded
from probatum.client.proofs import make_check_now
from probatum.errors import Refusal
from probatum.evidence.receipt import check_bundle, check_inputs, check_outputs, check_pending
from probatum.hub.package import load_package
from probatum.protocol import limits
from probatum.protocol.bundles import decode_bundle
from probatum.protocol.hexes import bytes_from_hex, digest_from_hex
from probatum.protocol.logprobs import MOST_LOGPROBS
from probatum.protocol.oip import decode_infer_request
from probatum.protocol.openai_text import decode_text_evidence
from probatum.protocol.primitives import make_salt
from probatum.protocol.texts import Text, TextQuestion, make_answer, make_question

if TYPE_CHECKING:
    from probatum.evidence.receipt import VerifiedBundle
    from probatum.evidence.texts import TextFault
    from probatum.hub.package import Package
    from probatum.protocol.manifests import UpstreamModel
    from probatum.protocol.primitives import Salt
    from probatum.protocol.receipts import Receipt
    from probatum.protocol.tensors import Tensor
    from probatum.runtime.rechecking import Recheck
    from probatum.runtime.text.rechecking import RecheckedText

__all__ = ["recheck"]


def recheck(
    what: Annotated[
        str, Parameter(help="A bundle's file, the id of a request kept here, or: last")
    ],
    /,
    *,
    request: Annotated[
        Path | None,
        Parameter(help="What was asked: as `ask` keeps it, or as the inference protocol's JSON."),
    ] = None,
    salt: Annotated[str | None, Parameter(help="The salt in hex, where --request is JSON.")] = None,
    answer: Annotated[
        Path | None,
        Parameter(help="A text as the OpenAI API gave it, whole: it says what was asked, too."),
    ] = None,
    package: Annotated[
        Path | None, Parameter(help="The package's folder; else the store of fetched packages.")
    ] = None,
    logprobs: Annotated[
        int | None,
        Parameter(
            help="Of a text, tell each token's logprob too, and those of so many likeliest ones.",
            validator=Number(gte=0, lte=MOST_LOGPROBS),
        ),
    ] = None,
    common: Common = DEFAULTS,
) -> int:
    """Compute an answer of class exact again, here, and say whether the receipt's is right.

    Exit code 0 if it is right, bit for bit; 1 if it is wrong, naming the output and the first
    element that differ, of a text the first token that is wrong and why; 1 too if the question
    cannot be asked of this receipt. Needs no network.

    Example: probatum receipt recheck receipt.json --request asked.contents --package my-model
    """
    what = resolve(common, what)
    data = find_bundle(common, what)
    is_settled = decode_bundle(data).settlement is not None
    trust = common.find_trust() if is_settled else None
    verified = check_pending(data) if trust is None else check_bundle(data, make_check_now(trust))
    receipt = verified.receipt
    if answer is not None:
        secret, inputs, outputs = _load_text(receipt, answer)
    else:
        secret, inputs, outputs = _load(common, what, request, salt)
    check_inputs(receipt, secret, inputs)
    if outputs is not None:
        check_outputs(receipt, secret, outputs)
    found = _open(common, receipt, package)
    if found.manifest.upstream is not None:
        raise _refuse_upstream(found.manifest.upstream)
    if found.manifest.text is not None:
        text = _check_text(verified, found, inputs, outputs, logprobs)
        places = list_places(found, outputs, text.logprobs)
        _report_text(common, receipt, outputs, text.fault, places)
        return OK if text.fault is None else REFUSED
    if logprobs is not None:
        raise Refusal("receipt.no-text", "only a text has logprobs", hint="leave --logprobs out")
    outcome = _compute(receipt, found, secret, inputs, outputs)
    _report(common, receipt, outcome)
    return OK if outcome.difference is None else REFUSED


def _load(
    common: Common, what: str, request: Path | None, salt: str | None
) -> tuple[Salt, tuple[Tensor, ...], tuple[Tensor, ...] | None]:
    """Load what was asked, and what was answered if that is kept too."""
    if request is not None and salt is not None:
        asked = decode_infer_request(read_bounded(request, limits.REQUEST_BYTES))
        return make_salt(bytes_from_hex(salt)), asked.tensors, None
    if request is None and not is_request_id(what):
        raise Refusal(
            "receipt.half-content",
            "an answer is computed from its request",
            hint="--request FILE: what `ask` keeps, or JSON with --salt",
        )
    files = ContentFiles(contents=request, request=None, answer=None, salt=None)
    loaded = load_tensors(common, what, files)
    if loaded is None:
        raise Refusal("receipt.half-content", "this request's content is not kept here")
    return loaded


def _load_text(
    receipt: Receipt, path: Path
) -> tuple[Salt, tuple[Tensor, ...], tuple[Tensor, ...] | None]:
    """Load what was asked and answered by what a door of a gateway said of it."""
    request_id = receipt.request.request_id
    found = decode_text_evidence(read_bounded(expand_home(path), limits.REQUEST_BYTES))
    said = next((one for one in found if one.receipt == request_id), None)
    if said is None:
        raise Refusal(
            "receipt.other-answer",
            f"{path.name} is an answer without the receipt {request_id}",
            hint="get the receipt that it names: GET /receipts/<id> at its gateway",
        )
    question = TextQuestion(
        prompt=said.prompt_tokens,
        limit=said.limit,
        temperature=said.temperature,
        top_k=said.top_k,
        choice=said.choice,
    )
    outputs = make_answer(Text(ids=said.tokens, ended=said.ended))
    return make_salt(bytes_from_hex(said.salt)), make_question(question), outputs


def _open(common: Common, receipt: Receipt, folder: Path | None) -> Package:
    digest = digest_from_hex(receipt.request.model.package)
    if folder is not None:
        return load_package(expand_home(folder), digest)
    try:
        return open_store(common).open(digest)
    except Refusal as refusal:
        if refusal.code != "package.unknown":
            raise
        hint = "`probatum model fetch NAME` gets it, or name its folder: --package"
        if receipt.request.arithmetic != "exact":
            hint = (
                f"to no end: the answer is of class {receipt.request.arithmetic}, ask with --exact"
            )
        raise Refusal(refusal.code, refusal.message, hint=hint) from None


def _refuse_upstream(model: UpstreamModel) -> Refusal:
    """Say what a receipt of another program's text proves, and what not (`TEXT-2`)."""
    if model.engine == "relay":
        why = "the node relayed a closed service, and no one can tell which model wrote it"
    else:
        why = f"{model.engine} chose its tokens by a rule of its own, in arithmetic of its own"
    return Refusal(
        "receipt.only-signed",
        f"the receipt proves who said this text, and nothing else: {why}",
        hint="ask a model of class exact where the answer itself must be checked",
    )


def _compute(
    receipt: Receipt,
    package: Package,
    salt: Salt,
    inputs: tuple[Tensor, ...],
    outputs: tuple[Tensor, ...] | None,
) -> Recheck:
    """Examine the package in a confined process, and only then compute with it here."""
    if receipt.request.arithmetic == "exact":
        from probatum.cli.examining import examine_file  # noqa: PLC0415 - costs start-up

        verdict = examine_file(package.folder / package.manifest.model)
        verdict.check_admitted()
    from probatum.runtime.rechecking import recheck_answer  # noqa: PLC0415 - brings numpy along

    with waiting("computing it again …"):
        return recheck_answer(
            receipt, package.manifest, package.read_model(), salt, inputs, outputs
        )


def _check_text(
    verified: VerifiedBundle,
    package: Package,
    inputs: tuple[Tensor, ...],
    outputs: tuple[Tensor, ...] | None,
    logprobs: int | None,
) -> RecheckedText:
    """Hold the package's graph to its weights, then the text to the rule."""
    if outputs is None:
        raise Refusal(
            "receipt.half-content",
            "a text is rechecked with its tokens, and only the request is here",
            hint="--request FILE: what `ask` keeps has both",
        )
    from probatum.hub.texts import check_text_meaning  # noqa: PLC0415 - brings numpy along
    from probatum.runtime.text.rechecking import recheck_text  # noqa: PLC0415 - ditto

    with waiting("computing its choices again …"):
        check_text_meaning(package)
        return recheck_text(
            verified.receipt,
            package.manifest,
            package.folder / package.manifest.model,
            inputs,
            outputs,
            verified.cancellation,
            top_logprobs=logprobs,
        )


def _report_text(
    common: Common,
    receipt: Receipt,
    outputs: tuple[Tensor, ...] | None,
    fault: TextFault | None,
    places: tuple[PlaceShown, ...],
) -> None:
    if common.json:
        told = {"logprobs": places} if places else {}
        print_json(
            {
                **told,
                "right": fault is None,
                "request_id": receipt.request.request_id,
                "node": receipt.node.account,
                "package": receipt.request.model.package,
                "canonical": receipt.request.model.canonical,
                "difference": None
                if fault is None
                else {
                    "place": fault.place,
                    "why": fault.why,
                    "right": fault.right,
                    "given": fault.given,
                },
            }
        )
        return
    if fault is None:
        tokens = outputs[0].shape[0] if outputs else 0
        end = "cancelled, as its gateway signed" if receipt.cancelled else "ended where it must"
        said = f"right: all {tokens} tokens are the rule's choices; {end}."
        print_lines((said, *say_places(places)))
        return
    text = f"wrong: token {fault.place}: {fault.why}"
    if fault.given is not None:
        text += f"; given is {fault.given}"
    if fault.right is not None:
        text += f", the rule chooses {fault.right}"
    print_lines((text, f"signed by the node {receipt.node.account}", *say_places(places)))


def _report(common: Common, receipt: Receipt, outcome: Recheck) -> None:
    wrong = outcome.difference
    if common.json:
        print_json(
            {
                "right": wrong is None,
                "request_id": receipt.request.request_id,
                "node": receipt.node.account,
                "package": receipt.request.model.package,
                "canonical": receipt.request.model.canonical,
                "difference": None
                if wrong is None
                else {
                    "tensor": wrong.tensor,
                    "element": wrong.element,
                    "right": wrong.right,
                    "given": wrong.given,
                },
            }
        )
        return
    if wrong is None:
        names = ", ".join(one.name for one in outcome.outputs)
        print_lines((f"right: {names} computed again here, equal to the last bit.",))
        return
    where = f"wrong: the output {wrong.tensor!r} is not the canonical one"
    if wrong.element is not None:
        at = "".join(f"[{index}]" for index in wrong.element)
        where = f"wrong: {wrong.tensor}{at} is {wrong.right}, the node signed {wrong.given}"
    print_lines((where, f"signed by the node {receipt.node.account}"))
