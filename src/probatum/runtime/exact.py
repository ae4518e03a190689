"""A model's canonical meaning, ready to compute: tensors in, the one right answer out (`EXACT-1`).

A session is made from a manifest and the ONNX file's bytes; digest and roots of weights are
computed from these very bytes and held to the manifest, so there is no session for a meaning that
nobody verified. Requests are joined where it is proven that no bit depends on it (`EXACT-2`): what
a publisher says of rows is not believed, for a wrong answer of this class convicts. Read next:
`probatum.canon.evaluate.evaluating`.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from typing import Any, Final

from probatum.canon.evaluate.evaluating import Evaluator
from probatum.canon.evaluate.selftest import check_arithmetic
from probatum.canon.graph.records import CanonicalGraph
from probatum.canon.primitives.joining.proving import find_row_dim
from probatum.errors import Fault, Refusal
from probatum.protocol.manifests import (
    Manifest,
    check_dims_admitted,
    check_tensors_match,
    compute_package_digest,
    encode_manifest,
)
from probatum.protocol.primitives import Digest
from probatum.protocol.tensors import Tensor
from probatum.runtime.arrays import check_model_bytes, check_output_size, make_tensor, to_array
from probatum.runtime.batching import Joining
from probatum.runtime.checking.admitting import admit_model
from probatum.runtime.checking.meaning import list_reasons, make_question
from probatum.runtime.engine import WORKING_BYTES, EngineOptions, Stop
from probatum.runtime.limits import RequestLimits, check_request

__all__ = ["ExactSession"]

_BYTES_PER_WEIGHT_BYTE: Final = 4
"""Weights as they are, and wide ones that products read."""


class ExactSession:
    """One canonical graph with its weights.

    Attributes:
        is_exact: That it answers in class `exact`.
        package: Digest of its package.
        manifest: What the package says of it.
        joining: How requests are joined, None where nothing is proven.
        turn: To be held while it computes: one thread at a time.
        cost_bytes: An estimate of the memory that it holds.
    """

    is_exact: Final = True

    def __init__(
        self,
        manifest: Manifest,
        model: bytes,
        *,
        options: EngineOptions | None = None,
        limits: RequestLimits | None = None,
    ) -> None:
        """Expand a model, and hold what comes to the manifest.

        Args:
            manifest: The package's manifest.
            model: Bytes of the file that it calls its model; it was examined in a sandbox.
            options: How to compute.
            limits: What one request may cost.

        Raises:
            Refusal: `runtime.unverified`, `schema.not-exact`, `runtime.other-canonical` if the
                file expands to another graph than the manifest states, `runtime.too-large`,
                `canon.*`.
            Fault: `canon.unsound-arithmetic`.
        """
        check_model_bytes(manifest, model)
        check_arithmetic()
        report, expanded = admit_model(make_question(manifest, model))
        refusal = list_reasons(report)
        if refusal is not None:
            raise refusal
        stated = manifest.canonical.digest if manifest.canonical is not None else None
        if expanded is None or report.bounds is None or report.digest != stated:
            raise Refusal(
                "runtime.other-canonical",
                f"{manifest.name} {manifest.version} expands to {str(report.digest)[:16]}…; "
                f"its manifest states {str(stated)[:16]}…",
                hint="do not offer it: every answer would be wrong",
            )
        if report.bounds.peak_bytes > WORKING_BYTES:
            raise Refusal(
                "runtime.too-large",
                f"an answer may take {report.bounds.peak_bytes} bytes of memory",
                hint=f"this node lends {WORKING_BYTES}; the package may admit smaller dims",
            )
        self.package: Digest = compute_package_digest(encode_manifest(manifest))
        self.manifest = manifest
        self.cost_bytes = _BYTES_PER_WEIGHT_BYTE * report.bounds.weight_bytes + len(model)
        self._limits = limits or RequestLimits()
        threads = (options or EngineOptions()).threads
        self._evaluator = Evaluator(expanded.graph, expanded.weights, threads=threads)
        self.joining = _find_joining(expanded.graph, manifest, self._limits.rows)
        self.turn: AbstractContextManager[object] = threading.Lock()

    def check_inputs(self, tensors: tuple[Tensor, ...]) -> dict[str, int]:
        """Check the inputs of one request.

        Returns:
            The value of each named dimension.

        Raises:
            Refusal: `tensor.*`, `schema.*`, `runtime.too-large`.
        """
        check_request(tensors, self._limits)
        dims = check_tensors_match(self.manifest.inputs, tensors)
        check_dims_admitted(self.manifest, dims)
        return dims

    def run(self, tensors: tuple[Tensor, ...], stop: Stop | None = None) -> tuple[Tensor, ...]:
        """Compute one request.

        Args:
            tensors: Every input, in the manifest's order.
            stop: Ends the run from another thread.

        Returns:
            Every output, in the manifest's order.

        Raises:
            Refusal: Those of `check_inputs`, `runtime.too-large`.
            Fault: `runtime.too-slow`.
        """
        dims = self.check_inputs(tensors)
        with self.turn:
            return self.run_checked(tensors, dims, stop or Stop())

    def run_checked(
        self, tensors: tuple[Tensor, ...], dims: dict[str, int], stop: Stop
    ) -> tuple[Tensor, ...]:
        """Compute what `check_inputs` has passed, or such requests joined; errors as `run`.

        Whoever calls it holds `turn`.
        """
        del dims  # the graph binds them itself

        def look(_: int, __: Any) -> None:
            if stop.is_stopped:
                raise Fault("runtime.too-slow", "the run was ended at its time limit")

        arrays = [to_array(tensor) for tensor in tensors]
        outputs = self._evaluator.evaluate(arrays, sink=look)
        check_output_size(outputs, self._limits)
        return tuple(map(make_tensor, self.manifest.outputs, outputs))


def _find_joining(graph: CanonicalGraph, manifest: Manifest, most_rows: int) -> Joining | None:
    try:
        dim, axes = find_row_dim(graph, manifest.batch_dim)
    except Refusal:
        return None  # such requests run one by one
    pairs = zip(manifest.inputs, axes.inputs, strict=True)
    if any(spec.shape[axis : axis + 1] != (dim,) for spec, axis in pairs):
        return None  # a manifest that fixes the graph's dim, or calls it otherwise, counts no rows
    most = next(one.greatest for one in graph.dims if one.name == dim)
    return Joining(
        dim=dim, inputs=axes.inputs, outputs=axes.outputs, most_rows=min(most_rows, most)
    )
