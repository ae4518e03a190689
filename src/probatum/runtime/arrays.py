"""What the sessions of both classes do alike: their model's bytes, tensors as arrays and back.

Must not know how an answer is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from probatum.errors import Refusal
from probatum.protocol.hashing import sha256
from probatum.protocol.manifests import Manifest, TensorSpec
from probatum.protocol.tensors import Tensor
from probatum.runtime.limits import RequestLimits

__all__ = ["check_model_bytes", "check_output_size", "make_tensor", "to_array"]


def check_model_bytes(manifest: Manifest, model: bytes) -> None:
    """Check that bytes are the file that a manifest calls its model.

    Raises:
        Refusal: `runtime.unverified`.
    """
    entry = next(file for file in manifest.files if file.path == manifest.model)
    if len(model) != entry.size or sha256(model).hex() != entry.sha256:
        raise Refusal("runtime.unverified", "these are not the bytes that the manifest names")


def check_output_size(arrays: Sequence[Any], limits: RequestLimits) -> None:
    """Check that an answer is no larger than one may be. Raises Refusal `runtime.too-large`."""
    size = sum(array.nbytes for array in arrays)
    if size > limits.output_bytes:
        raise Refusal(
            "runtime.too-large",
            f"outputs of {size} bytes where at most {limits.output_bytes} are given",
            hint="ask for less at a time",
        )


def to_array(tensor: Tensor) -> Any:
    """See a tensor's bytes as an array, without a copy on little-endian machines."""
    dtype = np.dtype(tensor.dtype)
    flat = np.frombuffer(tensor.data, dtype.newbyteorder("<"))
    return flat.astype(dtype, copy=False).reshape(tensor.shape)


def make_tensor(spec: TensorSpec, array: Any) -> Tensor:
    """Make a tensor of an array of the spec's dtype."""
    data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes(order="C")
    return Tensor(name=spec.name, dtype=spec.dtype, shape=array.shape, data=data)
