"""What `probatum model pack --exact` adds to a package: its canonical meaning (`EXACT-1`).

Expansion happens in a confined process. Must not know drafts. Read next: `making`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final

from cyclopts import Parameter

from probatum.canon.graph.packing import decode_graph
from probatum.canon.graph.records import CanonicalGraph
from probatum.canon.graph.sizes import show_size
from probatum.canon.primitives.joining.proving import find_row_dim
from probatum.cli.checking import parse_dims
from probatum.cli.inputs import build_tensors, parse_input
from probatum.cli.output import waiting
from probatum.errors import Refusal
from probatum.hub.build import GRAPH_NAME
from probatum.hub.canonical import read_graph
from probatum.hub.package import Package
from probatum.hub.texts import check_text_meaning
from probatum.protocol.manifests import BoundInput, DimRange, TensorSpec
from probatum.runtime.checking.cell import expand_confined
from probatum.runtime.checking.meaning import (
    USUAL_RANGE,
    check_meaning,
    check_servable,
    list_reasons,
)
from probatum.runtime.checking.report import Question
from probatum.runtime.sandbox.verdict import Verdict
from probatum.runtime.schema import Schema

__all__ = [
    "PLAIN",
    "ExactPart",
    "Packing",
    "check_package_meaning",
    "describe_joining",
    "find_exact_part",
    "join_packings",
]


_EXACT: Final = "add --exact, or exact = true to the model.toml"


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """What is said of the class `exact` when a package is made.

    Attributes:
        exact: Whether the package is to have a canonical meaning.
        dim: Ranges, as written.
        bind: Constants, as written.
    """

    exact: Annotated[
        bool, Parameter(help="Add the model's canonical meaning: nodes can answer exactly.")
    ] = False
    dim: Annotated[
        tuple[str, ...],
        Parameter(help="With --exact, admitted values of a dim: batch=1..16; 1..16 if not said."),
    ] = ()
    bind: Annotated[
        tuple[str, ...],
        Parameter(help="An input that is a constant of the package: sr=16000."),
    ] = ()


PLAIN: Final = Packing()


def join_packings(written: Packing, said: Packing) -> Packing:
    """Join what a file says with what is said now, which counts where both speak of one name.

    Raises:
        Refusal: `input.malformed`, `input.unknown-dtype`.
    """
    dims = {word.partition("=")[0] for word in said.dim}
    bound = {parse_input(word).name for word in said.bind}
    return Packing(
        exact=written.exact or said.exact,
        dim=(*(word for word in written.dim if word.partition("=")[0] not in dims), *said.dim),
        bind=(*(word for word in written.bind if parse_input(word).name not in bound), *said.bind),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactPart:
    """What goes into a package.

    Attributes:
        bound: Inputs that are constants.
        schema: Inputs and outputs where they differ from what the engine says.
        dims: What is admitted.
        files: The encoded graph, if there is one.
    """

    bound: tuple[BoundInput, ...] = ()
    schema: Schema | None = None
    dims: tuple[DimRange, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)


def find_exact_part(
    verdict: Verdict, model: bytes, packing: Packing, *, is_batch: bool
) -> ExactPart:
    """Find what a package states beside what the engine says.

    Args:
        verdict: Of the file; it was admitted.
        model: The file.
        packing: What was said.
        is_batch: Whether requests may be joined.

    Raises:
        Refusal: `canon.*` with every reason why the class `exact` does not admit the file;
            `runtime.not-batchable`, `runtime.too-large`, `input.*`.
        Fault: `sandbox.broken`.
    """
    if packing.dim and not packing.exact:
        raise Refusal("input.bad-dim", "dims say what class exact admits", hint=_EXACT)
    words = tuple(parse_input(word) for word in packing.bind)
    names = {word.name for word in words}
    specs = tuple(spec for spec in verdict.inputs if spec.name in names)
    tensors = build_tensors(words, specs) if words else ()
    bound = tuple(
        BoundInput(name=one.name, dtype=one.dtype, shape=one.shape, data=one.data.hex())
        for one in tensors
    )
    if not packing.exact:
        if not bound:
            return ExactPart()
        raise Refusal("input.bad-dim", "constants go with class exact", hint=_EXACT)
    question = Question(
        model=model, ranges=parse_dims(packing.dim), bind=tensors, usual=USUAL_RANGE
    )
    with waiting("expanding it to its canonical graph …"):
        report, data = expand_confined(question)
    refusal = list_reasons(report)
    if refusal is not None:
        raise refusal
    check_servable(report)
    dims = tuple(
        DimRange(name=name, least=low, greatest=high) for name, (low, high) in report.dims.items()
    )
    schema = _make_schema(decode_graph(data), verdict, is_batch=is_batch)
    return ExactPart(bound=bound, schema=schema, dims=dims, files={GRAPH_NAME: data})


def check_package_meaning(package: Package) -> None:
    """Check that a package's canonical graph, if it has one, is that of its file.

    Raises:
        Refusal: `package.other-canonical`, `canon.*` and those of reading files.
        Fault: `sandbox.broken`.
    """
    canonical = package.manifest.canonical
    if canonical is None or read_graph(package) is None:
        return
    if package.manifest.text is not None:
        with waiting("computing the roots of its weights …"):
            check_text_meaning(package)
        return
    with waiting("expanding it to its canonical graph …"):
        check_meaning(package.manifest, package.read_model(), package.read_file(canonical.graph))


def describe_joining(package: Package) -> dict[str, str]:
    """Say whether exact requests to a package may be computed together (`EXACT-2`).

    Raises:
        Refusal: `package.other-canonical` and those of reading files.
    """
    graph = read_graph(package)
    if graph is None:
        return {}
    try:
        dim, _ = find_row_dim(graph, package.manifest.batch_dim)
    except Refusal as refusal:
        return {"together": f"exact requests are computed one by one: {refusal.message}"}
    return {"together": f"exact requests are computed together, joined along {dim}"}


def _make_schema(graph: CanonicalGraph, verdict: Verdict, *, is_batch: bool) -> Schema:
    """Take inputs as the graph has them; outputs as the engine says, rows named alike."""
    inputs = tuple(
        TensorSpec(
            name=one.name,
            dtype=one.dtype,
            shape=tuple(size if isinstance(size, int) else show_size(size) for size in one.shape),
        )
        for one in graph.inputs
    )
    if not is_batch:
        return Schema(inputs=inputs, outputs=verdict.outputs)
    firsts = {spec.shape[0] if spec.shape else 0 for spec in inputs}
    others = {dim for spec in inputs for dim in spec.shape[1:]}
    free = all(spec.shape and isinstance(spec.shape[0], str) for spec in verdict.outputs)
    if len(firsts) != 1 or firsts & others or isinstance(next(iter(firsts)), int) or not free:
        raise Refusal(
            "runtime.not-batchable",
            "requests to this model cannot be joined",
            hint="every first dimension must be free and of one name, and no other may have it",
        )
    rows = next(iter(firsts))
    outputs = tuple(
        TensorSpec(name=spec.name, dtype=spec.dtype, shape=(rows, *spec.shape[1:]))
        for spec in verdict.outputs
    )
    return Schema(inputs=inputs, outputs=outputs)
