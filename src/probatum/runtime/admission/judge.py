"""Says why an ONNX file is not admitted, from its bytes alone (`PUB-1`).

In order: what kind of file it is; its form, within bounds; its versions and operator sets; what it
takes and gives; its graphs; its functions, unfolded. A file whose form is broken has that one
reason; otherwise all are listed that there are. What this does not see, the engine may: whether
shapes fit, whether operators have kernels, what a run takes. Read next: `reading`, `graphs`.
"""

from __future__ import annotations

from typing import Final

from probatum.errors import Refusal
from probatum.runtime.admission import bounds
from probatum.runtime.admission.functions import count_unfolded, get_key, judge_function
from probatum.runtime.admission.graphs import Survey, judge_graph, normalise_domain
from probatum.runtime.admission.reading import Message, read_model
from probatum.runtime.admission.reasons import Reasons, show_name
from probatum.runtime.admission.values import judge_interface

__all__ = ["list_reasons"]

_OTHERS: Final = (
    (0, b"PK\x03\x04", "a zip archive, as PyTorch, Keras and numpy write them"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"GGUF", "a GGUF file"),
    (0, b"\x7fELF", "a program"),
    (0, b"#!", "a script"),
    (4, b"ORTM", "a file in ONNX Runtime's own format"),
    (4, b"TFL3", "a TensorFlow Lite file"),
    (257, b"ustar", "a tar archive"),
    (8, b'{"', "a safetensors file"),
)
"""Other files that are taken for ONNX, by bytes at a place."""
_PICKLES: Final = tuple(bytes((0x80, version)) for version in range(2, 6))


def list_reasons(model: bytes) -> tuple[Refusal, ...]:
    """List why a file is not admitted; nothing if it is.

    Reasons: `runtime.not-onnx`, `runtime.external-data`, and all of `admission` but what a
        process's end tells (`admission.crashed`, `-too-slow`, `-too-much-memory`).
    """
    reasons = Reasons()
    try:
        _check_kind(model)
        root = read_model(model)
    except Refusal as refusal:
        return (refusal,)
    graph = root.part("graph")
    if graph is None:
        return (Refusal("runtime.not-onnx", "this is no ONNX file: it has no graph"),)
    _judge_model(root, graph, reasons)
    return reasons.list()


def _check_kind(model: bytes) -> None:
    """Refuse what is another kind of file, saying which."""
    if not model:
        raise Refusal("runtime.not-onnx", "this is no ONNX file: it is empty")
    if len(model) > bounds.MODEL_BYTES:
        raise Refusal(
            "admission.too-large", f"{len(model)} bytes; {bounds.MODEL_BYTES} are admitted"
        )
    for at, mark, what in _OTHERS:
        if model[at : at + len(mark)] == mark:
            raise Refusal("admission.other-format", f"this is {what}, not ONNX")
    if model.startswith(_PICKLES):
        raise Refusal(
            "admission.other-format",
            "this is a Python pickle, not ONNX",
            hint="a pickle is a program: do not open one that you did not write",
        )


def _judge_model(root: Message, graph: Message, reasons: Reasons) -> None:
    domains = _judge_versions(root, reasons)
    if root.parts("training_info"):
        reasons.add(
            Refusal(
                "admission.training-info",
                "the file says how to go on training it",
                hint="export it for inference",
            )
        )
    if root.parts("configuration"):
        reasons.add(
            Refusal("admission.device-configuration", "the file is laid out for certain devices")
        )
    weights = frozenset(tensor.text("name") for tensor in graph.parts("initializer"))
    judge_interface(graph, weights, reasons)
    functions = root.parts("functions")
    keys = [get_key(function) for function in functions]
    if len(set(keys)) != len(keys):
        reasons.add(Refusal("admission.duplicate-name", "two functions have the same name"))
    known = frozenset(keys)
    model = Survey(domains=domains, functions=known, reasons=reasons)
    judge_graph(graph, model, 0)
    surveys = {}
    for key, function in zip(keys, functions, strict=True):
        imported = _judge_imports(function, reasons)
        surveys[key] = Survey(
            domains=domains | imported, functions=known, reasons=reasons, is_function=True
        )
        judge_function(function, surveys[key])
    count_unfolded(model, surveys, reasons)


def _judge_versions(root: Message, reasons: Reasons) -> frozenset[str]:
    version = root.number("ir_version")
    if version not in bounds.IR_VERSIONS:
        first, last = bounds.IR_VERSIONS[0], bounds.IR_VERSIONS[-1]
        reasons.add(
            Refusal(
                "admission.unsupported-ir",
                f"the file is of ONNX's IR version {version}; {first} to {last} are admitted",
                hint=f"set ir_version={last - 3} when you save it",
            )
        )
    domains = _judge_imports(root, reasons)
    if not domains & set(bounds.DOMAINS):
        reasons.add(Refusal("admission.no-opset", "the file imports no operator set of ONNX"))
    return domains


def _judge_imports(body: Message, reasons: Reasons) -> frozenset[str]:
    """Judge the operator sets that a model or function imports, and list them."""
    versions: dict[str, int] = {}
    for imported in body.parts("opset_import"):
        domain, version = normalise_domain(imported.text("domain")), imported.number("version")
        # Exporters repeat themselves; readers that contradict each other are another matter.
        if versions.setdefault(domain, version) != version:
            said = f"operator set {show_name(domain)} is imported in two versions"
            reasons.add(Refusal("admission.duplicate-name", said))
        admitted = bounds.DOMAINS.get(domain)
        if admitted is not None and version not in admitted:
            reasons.add(
                Refusal(
                    "admission.unsupported-opset",
                    f"version {version} of operator set {domain or 'ai.onnx'}; "
                    f"{admitted[0]} to {admitted[-1]} are admitted",
                )
            )
    return frozenset(versions)
