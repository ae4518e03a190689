"""Holds a package's canonical graph to its manifest (`EXACT-1`).

That the graph is what the ONNX file expands to is another question, which costs more: who offers
or publishes a package asks it in a confined process. Must not know ONNX.
"""

from __future__ import annotations

from typing import TypeAlias

from probatum.canon.graph.packing import decode_graph
from probatum.canon.graph.records import CanonicalGraph, compute_canonical_digest
from probatum.canon.graph.sizes import show_size
from probatum.errors import Refusal
from probatum.hub.package import Package
from probatum.protocol.manifests import Manifest

__all__ = ["check_graph", "read_graph"]

_Shown: TypeAlias = tuple[str, str, tuple[str, ...]]
"""Name, dtype and shape of an input, its sizes as text."""


def read_graph(package: Package) -> CanonicalGraph | None:
    """Read a package's canonical graph, None if it has none.

    Raises:
        Refusal: Those of `Package.read_file` and `check_graph`.
    """
    canonical = package.manifest.canonical
    if canonical is None:
        return None
    return check_graph(package.manifest, package.read_file(canonical.graph))


def check_graph(manifest: Manifest, data: bytes) -> CanonicalGraph:
    """Check that a graph has the manifest's digest, inputs, outputs and dims.

    Raises:
        Refusal: `encoding.*`, `package.other-canonical`, `canon.record-too-large`.
    """
    canonical = manifest.canonical
    graph = decode_graph(data)
    if canonical is None or compute_canonical_digest(graph).hex() != canonical.digest:
        raise _other("its digest is another")
    asked, given = _list_expected(manifest)
    taken: list[_Shown] = [
        (one.name, one.dtype, tuple(map(show_size, one.shape))) for one in graph.inputs
    ]
    if asked != taken:
        raise _other("it takes other inputs")
    if [one.name for one in graph.outputs] != given:
        raise _other("it gives other outputs")
    # A dim with one admitted value is no dim of the graph any more.
    ranges = [(d.name, d.least, d.greatest) for d in canonical.dims if d.least < d.greatest]
    if [(dim.name, dim.least, dim.greatest) for dim in graph.dims] != ranges:
        raise _other("it admits other dims")
    return graph


def _list_expected(manifest: Manifest) -> tuple[list[_Shown], list[str]]:
    """List the graph's inputs, and its outputs' names, as the manifest implies them."""
    if manifest.text is not None:
        # It judges an answer rather than making one: the answer is among its inputs (`TEXT-1`).
        from probatum.canon.expand.language.llama import (  # noqa: PLC0415 - others need no numpy
            GRAPH_INPUTS,
            GRAPH_OUTPUTS,
        )

        taken: list[_Shown] = [
            (one.name, one.dtype, tuple(map(show_size, one.shape))) for one in GRAPH_INPUTS
        ]
        return taken, list(GRAPH_OUTPUTS)
    asked: list[_Shown] = [
        (spec.name, spec.dtype, tuple(map(str, spec.shape))) for spec in manifest.inputs
    ]
    return asked, [spec.name for spec in manifest.outputs]


def _other(why: str) -> Refusal:
    return Refusal(
        "package.other-canonical",
        f"the canonical graph is not the one that the manifest states: {why}",
        hint="pack the model again with --exact",
    )
