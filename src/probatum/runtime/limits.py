"""What one request may cost a node, and what a pool may hold: an operator's figures.

They are at most the protocol's own limits. Must not know engines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.tensors import Tensor, check_tensor

__all__ = ["WORKING_BYTES", "PoolLimits", "RequestLimits", "check_request"]

WORKING_BYTES: Final = 2048 * limits.MIB
"""What all runs of a process may hold at one time, beside the weights of models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """What one request may bring and take.

    Attributes:
        input_bytes: Bytes of all its inputs.
        output_bytes: Bytes of all its outputs.
        rows: Its size along the model's batch dimension.
        seconds: How long one run may take; the engine looks between operators.
    """

    input_bytes: int = limits.REQUEST_BYTES
    output_bytes: int = limits.TENSOR_BYTES
    rows: int = 1_024
    seconds: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """What a compute pool may hold.

    Attributes:
        jobs: Jobs that wait; one more is refused as busy.
        waiting_bytes: Bytes of the inputs of all jobs that wait.
        session_bytes: Estimated bytes of all loaded sessions.
        batch_rows: Rows that are joined into one run; 1 joins nothing.
        batch_seconds: How long a joint run may be expected to take. Joining spares a call's
            fixed cost (tens of microseconds); where a row takes milliseconds it saves nothing
            and costs the processor's caches, so such rows run alone.
        exact_seconds: The same in class `exact`, whose calls have fixed costs of up to
            milliseconds: there it is tried whether rows get cheaper together (`pace`).
        kept_bytes: Of answers of class `exact` that are kept for repeated questions; 0 keeps none.
    """

    jobs: int = limits.OPEN_REQUESTS
    waiting_bytes: int = 256 * limits.MIB
    session_bytes: int = 4096 * limits.MIB
    batch_rows: int = 32
    batch_seconds: float = 0.002
    exact_seconds: float = 0.5
    kept_bytes: int = 0


def check_request(tensors: tuple[Tensor, ...], allowed: RequestLimits) -> int:
    """Check the inputs of a request without knowing its model.

    Returns:
        Bytes of all inputs.

    Raises:
        Refusal: `tensor.*`, `runtime.too-large`.
    """
    if len(tensors) > limits.TENSORS_PER_REQUEST:
        raise Refusal("runtime.too-large", f"{len(tensors)} tensors in one request")
    for tensor in tensors:
        check_tensor(tensor)
    size = sum(len(tensor.data) for tensor in tensors)
    if size > allowed.input_bytes:
        raise Refusal(
            "runtime.too-large",
            f"inputs of {size} bytes where at most {allowed.input_bytes} are taken",
            hint="split the request",
        )
    return size
