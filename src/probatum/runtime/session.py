"""A model of a package, ready to compute: tensors in, tensors out, both held to the manifest.

A session is made from a manifest and the model's bytes and holds the bytes to the manifest
itself: there is no session for bytes that nobody verified. Must not know where they came from.
Read next: `engine` (options), `worker` (who calls it).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import numpy as np

from probatum.errors import Fault, Refusal
from probatum.protocol.manifests import (
    Manifest,
    TensorSpec,
    check_tensors_match,
    compute_package_digest,
    encode_manifest,
)
from probatum.protocol.primitives import Digest
from probatum.protocol.tensors import Tensor
from probatum.runtime.arrays import check_model_bytes, check_output_size, make_tensor, to_array
from probatum.runtime.batching import find_joining
from probatum.runtime.engine import Engine, EngineOptions, Stop
from probatum.runtime.limits import RequestLimits, check_request

__all__ = ["OnnxSession"]

_BYTES_PER_MODEL_BYTE: Final = 3
"""A loaded session keeps its weights, often once more in the layout of its kernels, and plans."""


class OnnxSession:
    """One loaded model.

    Attributes:
        is_exact: That it answers in class `float`.
        package: Digest of its package.
        manifest: What the package says of it.
        joining: How requests are joined, None if they are not.
        turn: To be held while it computes: nothing, several threads may.
        cost_bytes: An estimate of the memory that it holds.
    """

    is_exact: Final = False

    def __init__(
        self,
        manifest: Manifest,
        model: bytes,
        *,
        options: EngineOptions | None = None,
        limits: RequestLimits | None = None,
    ) -> None:
        """Load a model.

        Args:
            manifest: The package's manifest.
            model: Bytes of the file that it calls its model.
            options: How to compute.
            limits: What one request may cost.

        Raises:
            Refusal: `runtime.unverified` if the bytes are not those of the manifest,
                `runtime.schema-mismatch` if the model is not as the manifest says,
                `runtime.not-onnx`, `runtime.external-data`, `runtime.unsupported-model`.
        """
        check_model_bytes(manifest, model)
        self.package: Digest = compute_package_digest(encode_manifest(manifest))
        self.manifest = manifest
        self.cost_bytes = _BYTES_PER_MODEL_BYTE * len(model)
        self._limits = limits or RequestLimits()
        self.joining = find_joining(manifest, self._limits.rows)
        self.turn: AbstractContextManager[object] = nullcontext()
        self._engine = Engine(model, options or EngineOptions())
        self._bound = {one.name: to_array(one.to_tensor()) for one in manifest.bound}
        _check_schema(*_take_bound(manifest, self._engine.inputs))
        _check_schema(manifest.outputs, self._engine.outputs)

    def check_inputs(self, tensors: tuple[Tensor, ...]) -> dict[str, int]:
        """Check the inputs of one request.

        Returns:
            The value of each named dimension.

        Raises:
            Refusal: `tensor.*`, `schema.*`, `runtime.too-large`.
        """
        check_request(tensors, self._limits)
        dims = check_tensors_match(self.manifest.inputs, tensors)
        rows = dims.get(self.manifest.batch_dim, 0) if self.manifest.batch_dim else 0
        if rows > self._limits.rows:
            raise Refusal(
                "runtime.too-large",
                f"{rows} rows where at most {self._limits.rows} are taken",
                hint="split the request",
            )
        return dims

    def run(self, tensors: tuple[Tensor, ...], stop: Stop | None = None) -> tuple[Tensor, ...]:
        """Compute one request.

        Args:
            tensors: Every input, in the manifest's order.
            stop: Ends the run from another thread.

        Returns:
            Every output, in the manifest's order.

        Raises:
            Refusal: Those of `check_inputs`, `runtime.refused-input`, `runtime.too-large`.
            Fault: `runtime.too-slow`, `runtime.engine-failed`, `runtime.broken-schema`.
        """
        dims = self.check_inputs(tensors)
        return self.run_checked(tensors, dims, stop or Stop())

    def run_checked(
        self, tensors: tuple[Tensor, ...], dims: dict[str, int], stop: Stop
    ) -> tuple[Tensor, ...]:
        """Compute what `check_inputs` has passed, or several such requests joined.

        Args:
            tensors: Every input.
            dims: The value of each named dimension of these very tensors.
            stop: Ends the run from another thread.

        Raises:
            Refusal: `runtime.refused-input`, `runtime.too-large`.
            Fault: Those of `run`.
        """
        feeds = {**self._bound, **{tensor.name: to_array(tensor) for tensor in tensors}}
        arrays = self._engine.run(feeds, stop)
        check_output_size(arrays, self._limits)
        outputs = tuple(
            _from_array(spec, array)
            for spec, array in zip(self.manifest.outputs, arrays, strict=True)
        )
        self._check_outputs(outputs, dims)
        return outputs

    def _check_outputs(self, outputs: tuple[Tensor, ...], dims: dict[str, int]) -> None:
        try:
            found = check_tensors_match(self.manifest.outputs, outputs)
        except Refusal as refusal:
            raise _broken(refusal.message) from None
        for name in sorted(found):
            if dims.get(name, found[name]) != found[name]:
                raise _broken(f"{name} is {dims[name]} in the inputs, {found[name]} in the outputs")


def _check_schema(stated: tuple[TensorSpec, ...], found: tuple[TensorSpec, ...]) -> None:
    """Check that a model is what its manifest states; a manifest may fix a free dimension."""

    def fits(spec: TensorSpec, real: TensorSpec) -> bool:
        return (
            (spec.name, spec.dtype, len(spec.shape)) == (real.name, real.dtype, len(real.shape))
        ) and all(
            isinstance(have, str) or want == have
            for want, have in zip(spec.shape, real.shape, strict=True)
        )

    if len(stated) != len(found) or not all(map(fits, stated, found)):
        raise Refusal(
            "runtime.schema-mismatch",
            "the model's inputs or outputs are not those that the manifest states",
            hint="build the package again from this model",
        )


def _take_bound(
    manifest: Manifest, found: tuple[TensorSpec, ...]
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Put the constants of a package in their places among its inputs (`NODE-1`)."""
    bound = {
        one.name: TensorSpec(name=one.name, dtype=one.dtype, shape=one.shape)
        for one in manifest.bound
    }
    asked = iter(manifest.inputs)
    stated = [bound.pop(spec.name, None) or next(asked, None) for spec in found]
    return (*(spec for spec in stated if spec is not None), *bound.values(), *asked), found


def _from_array(spec: TensorSpec, array: Any) -> Tensor:
    dtype = np.dtype(spec.dtype)
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        raise _broken(f"{spec.name!r} is no {spec.dtype}")
    return make_tensor(spec, array)


def _broken(what: str) -> Fault:
    return Fault(
        "runtime.broken-schema",
        f"the model's answer is not as its manifest states: {what}",
        hint="the package's publisher must mend it",
        retryable=False,
    )
