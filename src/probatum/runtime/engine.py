"""ONNX Runtime with fixed options: the one page that calls it.

Options, and why. One thread a session, sequential: a node runs several requests side by side, and
the order of additions does not depend on how busy the machine is. Every graph optimisation: the
engine's kernels choose by CPU anyway, so a lower level would cost speed (a fifth on a small
convolutional model) and buy nothing that the class `float` promises. No memory patterns: they are
kept for every shape ever seen, and strangers choose shapes. The arena is shrunk after each run:
else one large request keeps its peak for ever. And all sessions of a process share one arena with
a bound: what a run may take cannot be told from a model (a loop may keep whatever it makes), so a
run that would take more fails, not the node (`PUB-1`). No custom operators, no external files, no
telemetry, no log of its own: what the engine has to say comes as an error.
Must not know packages. Read next: `schema`, `session`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Final

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from probatum.errors import Fault, Refusal
from probatum.protocol import limits
from probatum.protocol.manifests import TensorSpec
from probatum.protocol.tensors import DtypeName
from probatum.runtime.limits import WORKING_BYTES
from probatum.runtime.onnxform import check_self_contained

__all__ = ["WORKING_BYTES", "Engine", "EngineOptions", "Stop"]

_FATAL: Final = 4
_LOAD_ERRORS: Final[tuple[type[Exception], ...]] = tuple(
    kind
    for kind in vars(ort_errors).values()
    if isinstance(kind, type) and issubclass(kind, Exception)
)
"""The engine's exceptions have no root of their own."""
_INVALID: Final[type[Exception]] = ort_errors.InvalidArgument
_RUN_ERRORS: Final[tuple[type[Exception], ...]] = (
    *_LOAD_ERRORS,
    RuntimeError,
    ValueError,
    MemoryError,
)
_DTYPES: Final[Mapping[str, DtypeName]] = MappingProxyType(
    {
        "tensor(bool)": "bool",
        "tensor(uint8)": "uint8",
        "tensor(uint16)": "uint16",
        "tensor(uint32)": "uint32",
        "tensor(uint64)": "uint64",
        "tensor(int8)": "int8",
        "tensor(int16)": "int16",
        "tensor(int32)": "int32",
        "tensor(int64)": "int64",
        "tensor(float16)": "float16",
        "tensor(float)": "float32",
        "tensor(double)": "float64",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What an operator may choose.

    Attributes:
        threads: Threads that one run of one session uses.
    """

    threads: int = 1


class Stop:
    """A way to end a run from another thread."""

    __slots__ = ("_options",)

    def __init__(self) -> None:
        """Make one for one run."""
        self._options = ort.RunOptions()
        self._options.log_severity_level = _FATAL
        self._options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def stop(self) -> None:
        """End the run soon: the engine looks between operators."""
        self._options.terminate = True

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return bool(self._options.terminate)

    @property
    def options(self) -> Any:
        """The engine's own form of it."""
        return self._options


class Engine:
    """A loaded ONNX file."""

    def __init__(self, model: bytes, options: EngineOptions) -> None:
        """Load an ONNX file from memory.

        Raises:
            Refusal: `runtime.not-onnx`, `runtime.external-data`, `runtime.unsupported-model`.
        """
        check_self_contained(model)
        _share_arena()
        try:
            self._session = ort.InferenceSession(
                model, _session_options(options), providers=["CPUExecutionProvider"]
            )
        except _LOAD_ERRORS as error:
            raise Refusal(
                "runtime.unsupported-model",
                f"the engine does not take this model: {_first_line(error)}",
                hint="ONNX of a released operator set, without custom operators",
            ) from None
        # It would keep the file's bytes for a second loading that never comes: as much again as the
        # weights it has made of them.
        self._session._model_bytes = b""  # noqa: SLF001 - there is no other way
        self.inputs = _read_specs(self._session.get_inputs(), "in")
        self.outputs = _read_specs(self._session.get_outputs(), "out")
        self._names = [spec.name for spec in self.outputs]

    def run(self, feeds: dict[str, Any], stop: Stop) -> list[Any]:
        """Run on numpy arrays.

        Raises:
            Refusal: `runtime.refused-input`: the values are none that the model takes.
            Fault: `runtime.too-slow` if it was stopped, else `runtime.engine-failed`.
        """
        try:
            outputs: list[Any] = self._session.run(self._names, feeds, stop.options)
        except _INVALID as error:
            raise Refusal(
                "runtime.refused-input", f"the model does not take this: {_first_line(error)}"
            ) from None
        except _RUN_ERRORS as error:
            if stop.is_stopped:
                raise Fault("runtime.too-slow", "the run was ended at its time limit") from None
            raise Fault(
                "runtime.engine-failed",
                f"the engine failed on this request: {_first_line(error)}",
                retryable=False,
            ) from None
        return outputs


def _session_options(options: EngineOptions) -> Any:
    chosen = ort.SessionOptions()
    chosen.intra_op_num_threads = options.threads
    chosen.inter_op_num_threads = 1
    chosen.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    chosen.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    chosen.use_deterministic_compute = True
    chosen.enable_mem_pattern = False
    chosen.enable_cpu_mem_arena = True
    chosen.enable_profiling = False
    chosen.log_severity_level = _FATAL
    # Else bytes could be an ONNX file to our checks and the engine's own format to the engine.
    chosen.add_session_config_entry("session.load_model_format", "ONNX")
    chosen.add_session_config_entry("session.intra_op.allow_spinning", "0")
    chosen.add_session_config_entry("session.use_env_allocators", "1")
    chosen.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    return chosen


@cache
def _share_arena() -> None:
    """Make the arena that sessions share; the engine has one a process, and takes it once."""
    ort.create_and_register_allocator(
        ort.OrtMemoryInfo(
            "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
        ),
        ort.OrtArenaCfg({"max_mem": WORKING_BYTES}),
    )


def _read_specs(described: Sequence[Any], side: str) -> tuple[TensorSpec, ...]:
    """Read what the engine says of inputs or outputs; give dims without a usable name one.

    Raises:
        Refusal: `runtime.unsupported-model`.
    """
    if not 0 < len(described) <= limits.TENSORS_PER_REQUEST:
        raise Refusal(
            "runtime.unsupported-model",
            f"{len(described)} {side}puts; 1 to {limits.TENSORS_PER_REQUEST} are supported",
        )
    specs = []
    for index, tensor in enumerate(described):
        dtype = _DTYPES.get(tensor.type)
        if dtype is None:
            raise Refusal(
                "runtime.unsupported-model",
                f"{tensor.name!r} is a {tensor.type}",
                hint="inputs and outputs are tensors of numbers or bools",
            )
        shape = tuple(
            _read_dim(dim, f"{side}{index}_{axis}") for axis, dim in enumerate(tensor.shape)
        )
        if len(shape) > limits.TENSOR_RANK or not 0 < len(tensor.name) <= limits.NAME_CHARS:
            raise Refusal(
                "runtime.unsupported-model", f"{tensor.name[:40]!r}: name or rank over the limit"
            )
        specs.append(TensorSpec(name=tensor.name, dtype=dtype, shape=shape))
    return tuple(specs)


def _read_dim(dim: int | str | None, otherwise: str) -> int | str:
    if isinstance(dim, int):
        return dim if dim >= 0 else otherwise
    if dim is not None and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,31}", dim):
        return dim
    return otherwise


def _first_line(error: BaseException) -> str:
    """Cut what the engine says to something that a person reads; paths of its sources go."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return re.sub(r"\S*/onnxruntime\S*", "…", text)[:300]
