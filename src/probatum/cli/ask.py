"""`probatum ask`: ask a model, check the answer, keep the receipt.

Asking and checking are `probatum.client`; this page reads inputs and prints outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from cyclopts.validators import Number

from probatum.cli.amounts import format_units
from probatum.cli.connecting import connect
from probatum.cli.drawing import DRAWING, SAYING, Drawing, Saying
from probatum.cli.fetching import fetch_labels, fetch_manifest, find_sources
from probatum.cli.inputs import build_tensors, parse_input
from probatum.cli.output import print_json, print_lines, waiting
from probatum.cli.reading import find_model, split_model
from probatum.cli.settings import DEFAULTS, Common, read_bounded
from probatum.cli.spending import NOTHING, Spend
from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.manifests import TensorSpec
from probatum.protocol.oip import decode_infer_request
from probatum.protocol.tensors import Tensor

if TYPE_CHECKING:
    from probatum.client.client import Answer
    from probatum.evidence.receipt import CheckLine

app = App(name="ask", help="Ask a model and keep the receipt.")

_BEST = 3
_ANSWER_S = 30
_TEXT_S = 280


Files = Annotated[
    tuple[str, ...], Parameter(help="name=path of a .npy or .json file; may be given again.")
]
Oip = Annotated[
    Path | None, Parameter(help="The inputs as a request of the Open Inference Protocol.")
]
Node = Annotated[
    str | None,
    Parameter(help="Account of the one operator who may answer; nobody else is asked."),
]
Timeout = Annotated[
    int | None,
    Parameter(
        help="How long to wait for the answer, in seconds; else 30, for a text 280.",
        validator=Number(gte=1),
    ),
]


@app.default
def ask(  # noqa: PLR0913 - one parameter for each option
    model: Annotated[str, Parameter(help="NAME, or NAME@VERSION; the newest if absent.")],
    inputs: Annotated[
        tuple[str, ...],
        Parameter(help="name=[1, 2], name:float32=[0.5], name=@file.npy, name=@file.json"),
    ] = (),
    /,
    *,
    file: Files = (),
    oip: Oip = None,
    save: Annotated[
        Path | None, Parameter(help="Folder to write the outputs to, as .npy files.")
    ] = None,
    settle: Annotated[
        bool, Parameter(help="Wait until the receipt is settled, and verify it.")
    ] = False,
    exact: Annotated[
        bool, Parameter(help="Ask for the canonical answer, which anybody can compute again.")
    ] = False,
    node: Node = None,
    timeout_s: Timeout = None,
    saying: Saying = SAYING,
    drawing: Drawing = DRAWING,
    spend: Spend = NOTHING,
    common: Common = DEFAULTS,
) -> None:
    """Ask a model. The answer is checked before it is shown, and its receipt is kept.

    Types and shapes are the model's own, as its manifest says; without a ledger to learn them
    from, say them: name:float32=[0.5].

    A language model is given a text; what it writes is shown as it comes.

    Example: probatum ask my-net x=[0.5,1.5]
    """
    if saying.text is not None:
        if inputs or file or oip or save or exact:
            raise _refuse_both()
        from probatum.cli.asking_text import ask_text  # noqa: PLC0415 - brings numpy along

        wish = saying.make_wish(is_settled=settle, node=node, timeout_s=timeout_s or _TEXT_S)
        ask_text(common, model, wish, drawing, spend)
        return
    name, version = split_model(model)
    specs: tuple[TensorSpec, ...] | None = None
    labels: tuple[str, ...] = ()
    if common.ledger or common.get_pointer() is not None:
        version, specs, labels = _learn(common, model)
    tensors = _read(inputs, file, oip, specs)
    payment = spend.make_rules(common)
    with connect(common, payment, is_told=specs is not None) as client:
        with waiting("asking …"):
            answer = client.ask(
                name,
                {t.name: t for t in tensors},
                version=version,
                timeout_s=timeout_s or _ANSWER_S,
                arithmetic="exact" if exact else "float",
                node=node,
            )
        checks = answer.checks
        if settle:
            with waiting("waiting for the node's next checkpoint …"):
                checks = client.settle(answer).checks
    if save is not None:
        _save(save, answer.outputs)
    _report(common, answer, checks, labels, is_settled=settle)


def _refuse_both() -> Refusal:
    return Refusal(
        "input.twice",
        "a text is asked for by its words alone",
        hint="leave inputs, --file, --oip, --save and --exact out",
    )


def _learn(common: Common, model: str) -> tuple[str, tuple[TensorSpec, ...], tuple[str, ...]]:
    """Learn version, inputs and labels: digest from the ledger, manifest from a node."""
    record, _ = find_model(common, model)
    sources = find_sources(common, record.package)
    manifest = fetch_manifest(sources, record.package)
    return record.version, manifest.inputs, fetch_labels(sources, record.package, manifest)


def _read(
    inputs: tuple[str, ...],
    files: tuple[str, ...],
    oip: Path | None,
    specs: tuple[TensorSpec, ...] | None,
) -> tuple[Tensor, ...]:
    words = (*inputs, *(_name_file(word) for word in files))
    if oip is not None:
        if words:
            raise Refusal("input.twice", "inputs are given by words or by --oip, not both")
        try:
            return decode_infer_request(read_bounded(oip, limits.REQUEST_BYTES)).tensors
        except Refusal as refusal:
            if not refusal.code.startswith("oip."):
                raise
            raise Refusal(refusal.code, f"{oip}: {refusal.message}", hint=refusal.hint) from None
    return build_tensors(tuple(parse_input(word) for word in words), specs)


def _name_file(word: str) -> str:
    name, separator, path = word.partition("=")
    return f"{name}=@{path}" if separator else f"@{word}"


def _report(
    common: Common,
    answer: Answer,
    checks: tuple[CheckLine, ...],
    labels: tuple[str, ...],
    *,
    is_settled: bool,
) -> None:
    if common.json:
        print_json(_describe(answer, checks, is_settled=is_settled))
        return
    print_lines(_show_output(name, value, labels) for name, value in answer.outputs.items())
    unchecked = sum(line.standing != "checked" for line in checks)
    ending = "." if is_settled else " yet."
    print_lines(
        (
            "",
            f"{len(checks) - unchecked} checks passed; {unchecked} cannot be made{ending}",
            f"receipt {answer.request_id}",
            *_say_price(answer.price_units),
            _say_next(common, answer.request_id, is_settled=is_settled),
        )
    )


def _say_price(price_units: int) -> tuple[str, ...]:
    return (f"price {format_units(price_units)} tokens",) if price_units else ()


def _save(folder: Path, outputs: Mapping[str, Any]) -> None:
    import numpy as np  # noqa: PLC0415 - loaded by the client already

    folder.mkdir(parents=True, exist_ok=True)
    for name, value in outputs.items():
        # A name comes from a stranger's model: it must not lead out of the folder.
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name).lstrip(".") or "_"
        np.save(folder / f"{safe}.npy", value, allow_pickle=False)


def _describe(answer: Answer, checks: tuple[CheckLine, ...], *, is_settled: bool) -> dict[str, Any]:
    return {
        "request_id": answer.request_id,
        "node": answer.receipt.node.account,
        "package": answer.receipt.request.model.package,
        "class": answer.receipt.request.arithmetic,
        "is_settled": is_settled,
        "price_units": answer.price_units,
        "salt": answer.salt.hex(),
        "outputs": [
            {
                "name": name,
                "dtype": value.dtype.name,
                "shape": list(value.shape),
                "data": value.tolist(),
            }
            for name, value in answer.outputs.items()
        ],
        "checks": [
            {"clause": line.clause, "standing": line.standing, "text": line.text} for line in checks
        ],
    }


def _show_output(name: str, value: Any, labels: tuple[str, ...]) -> str:
    """Show an output: the likeliest labels of a classifier, else the numbers, shortened."""
    import numpy as np  # noqa: PLC0415 - loaded by the client already

    if labels and value.dtype.kind == "f" and value.ndim and value.shape[-1] == len(labels):
        rows = value.reshape(-1, len(labels))
        return "\n".join(
            f"{name}: "
            + ", ".join(
                f"{labels[i]} {row[i]:.3f}" for i in np.argsort(-row, kind="stable")[:_BEST]
            )
            for row in rows
        )
    text = np.array2string(value, threshold=64, separator=", ", prefix=f"{name} = ")
    return f"{name} = {text}  ({value.dtype.name} {list(value.shape)})"


def _say_next(common: Common, request_id: str, *, is_settled: bool) -> str:
    if not is_settled:
        return f"Next: probatum receipt settle {request_id}"
    trust = common.find_trust_path() or "TRUST.json"
    return f"Next: probatum receipt verify {request_id} --trust {trust}"
