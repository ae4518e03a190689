"""Reads a model's inputs and outputs out of its ONNX file, for the manifest of its package.

Must not know packages: what it returns are values of `probatum.protocol.manifests`.
"""

from __future__ import annotations

from dataclasses import dataclass

from probatum.errors import Refusal
from probatum.protocol.manifests import TensorSpec

__all__ = ["Schema", "name_batch_dim", "read_schema"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """What a model takes and gives, in its own order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def read_schema(model: bytes, batch_dim: str | None = None) -> Schema:
    """Read the schema of an ONNX file.

    Args:
        model: The file's bytes.
        batch_dim: A name for the first dimension of every input and output, if requests may be
            joined along it; the publisher knows whether rows depend on one another.

    Raises:
        Refusal: `runtime.not-onnx`, `runtime.external-data`, `runtime.unsupported-model`,
            `runtime.not-batchable`.
    """
    from probatum.runtime.engine import Engine, EngineOptions  # noqa: PLC0415 - loads ONNX Runtime

    engine = Engine(model, EngineOptions())
    schema = Schema(inputs=engine.inputs, outputs=engine.outputs)
    return schema if batch_dim is None else name_batch_dim(schema, batch_dim)


def name_batch_dim(schema: Schema, name: str) -> Schema:
    """Give the first dimensions one name; nothing else may have it or depend on them.

    Raises:
        Refusal: `runtime.not-batchable`.
    """
    specs = schema.inputs + schema.outputs
    firsts = {spec.shape[0] if spec.shape else 0 for spec in specs}
    others = {dim for spec in specs for dim in spec.shape[1:]}
    if any(isinstance(dim, int) for dim in firsts) or others & (firsts | {name}):
        raise Refusal(
            "runtime.not-batchable",
            "requests to this model cannot be joined",
            hint="every first dimension must be free, and no other may have its name",
        )
    inputs, outputs = (
        tuple(
            TensorSpec(name=spec.name, dtype=spec.dtype, shape=(name, *spec.shape[1:]))
            for spec in side
        )
        for side in (schema.inputs, schema.outputs)
    )
    return Schema(inputs=inputs, outputs=outputs)
