"""Evaluates a canonical graph, every entry in order, each as a judge would find it (`CANON-4`).

Read `plan` and `kernels` first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import numpy as np

from probatum.canon.evaluate.blas import limit_blas
from probatum.canon.evaluate.kernels import get_kernel
from probatum.canon.evaluate.plan import make_plan
from probatum.canon.evaluate.selftest import check_arithmetic_once
from probatum.canon.evaluate.trial import find_compiled
from probatum.canon.evaluate.values import Array, Value, compute_finite, get_numpy_dtype
from probatum.canon.evaluate.workspace import K_CHUNK, KEPT_BYTES, Workspace
from probatum.canon.graph.binding import BoundGraph, bind_dims, bind_graph
from probatum.canon.graph.records import ENTRY, INPUT, CanonicalGraph, Ref
from probatum.errors import Misuse, Refusal

__all__ = ["Evaluator", "Sink", "evaluate"]

Sink: TypeAlias = Callable[[int, Array], None]
"""Takes each entry's number and elements, in order; the array's memory is used again after."""

BOUND_GRAPHS: Final = 16
"""Choices of dims that are kept bound."""
SMALL_BYTES: Final = 1 << 24
"""Of all entries: where there are more, their memory is not kept for when the dims come again."""


class Evaluator:
    """A graph with its weights, and what is derived from them once.

    Not for two threads at once. bfloat16 tensors are arrays of uint16, their bits.

    Args:
        graph: The canonical graph, of admitted types.
        weights: In the records' order and of their types.
        threads: Worked on at a time; no bit depends on it.
        k_chunk: Terms that one float64 matrix product sums; no bit depends on it.
        kept_bytes: At most kept of float64 copies of weights.
        compiled: Whether the compiled kernel may compute, where there is one; no bit depends on it.

    Raises:
        Misuse: `canon.wrong-weights`, `canon.no-kernel`.
        Fault: `canon.unsound-arithmetic` where this machine does not compute as the bounds assume.
    """

    def __init__(
        self,
        graph: CanonicalGraph,
        weights: Sequence[Array],
        *,
        threads: int = 1,
        k_chunk: int = K_CHUNK,
        kept_bytes: int = KEPT_BYTES,
        compiled: bool = True,
    ) -> None:
        check_arithmetic_once()
        self._graph = graph
        self._plan = make_plan(graph)
        self._kernels = tuple(get_kernel(node.operator, node.version) for node in graph.nodes)
        self._ws = Workspace(
            threads=threads,
            k_chunk=k_chunk,
            kept_bytes=kept_bytes,
            compiled=find_compiled() if compiled else None,
        )
        have = [(array.dtype, array.shape) for array in weights]
        want = [(get_numpy_dtype(record.dtype), record.shape) for record in graph.weights]
        if have != want:
            raise Misuse("canon.wrong-weights", "the weights are not of the records' types")
        self._weights = tuple(
            Value(
                np.asarray(array, order="C"),
                record.dtype,
                compute_finite(array, record.dtype),
                key=number,
            )
            for number, (array, record) in enumerate(zip(weights, graph.weights, strict=True))
        )
        self._constants: dict[int, Value] = {}
        self._bound: OrderedDict[tuple[tuple[str, int], ...], BoundGraph] = OrderedDict()
        self._last: BoundGraph | None = None

    def evaluate(self, inputs: Sequence[Array], *, sink: Sink | None = None) -> tuple[Array, ...]:
        """Compute the outputs.

        Args:
            inputs: In the records' order.
            sink: Is given every entry.

        Returns:
            The outputs, in the records' order; the caller's own.

        Raises:
            Refusal: `canon.wrong-dtype`, and those of `bind_dims` and `bind_graph`.
        """
        bound = self._bind(inputs)
        given = tuple(
            Value(np.asarray(array, order="C"), record.dtype, compute_finite(array, record.dtype))
            for array, record in zip(inputs, self._graph.inputs, strict=True)
        )
        entries: list[Value | None] = []

        def get(ref: Ref) -> Value:
            if ref.space != ENTRY:
                return (given if ref.space == INPUT else self._weights)[ref.number]
            value = entries[ref.number]
            assert value is not None, "the plan frees after the last reader"
            return value

        with (
            limit_blas(self._ws.threads),
            np.errstate(
                over="call", invalid="call", divide="call", under="ignore", call=self._ws.flags
            ),
        ):
            for number, (node, kernel) in enumerate(zip(bound.nodes, self._kernels, strict=True)):
                value = self._constants.get(number)
                if value is None:
                    value = kernel(node, tuple(map(get, node.reads)), self._ws)
                    if number in self._plan.constants:
                        value = Value(
                            value.array, value.dtype, value.finite, len(self._weights) + number
                        )
                        self._constants[number] = value
                entries.append(value)
                if sink is not None:
                    sink(number, value.array)
                for unread in self._plan.freed[number]:
                    self._free(entries, unread)
        outputs = tuple(get(record.ref).array.copy() for record in self._graph.outputs)
        for number in self._plan.given:
            self._free(entries, number)
        return outputs

    def _free(self, entries: list[Value | None], number: int) -> None:
        dead = entries[number]
        assert dead is not None, "an entry is freed once"
        self._ws.give_back(dead.array)
        entries[number] = None

    def _bind(self, inputs: Sequence[Array]) -> BoundGraph:
        dims = bind_dims(self._graph, tuple(array.shape for array in inputs))
        for array, record in zip(inputs, self._graph.inputs, strict=True):
            if array.dtype != get_numpy_dtype(record.dtype):
                raise Refusal("canon.wrong-dtype", f"{record.name!r} is not of {record.dtype}")
        key = tuple(sorted(dims.items()))
        bound = self._bound.pop(key, None)
        # Memory is used again by its size, so that each choice of dims would keep its own.
        if bound is None or (bound is not self._last and _is_large(self._last)):
            self._ws.forget_free()
        if bound is None:
            bound = bind_graph(self._graph, dims)
        self._bound[key] = self._last = bound
        if len(self._bound) > BOUND_GRAPHS:
            self._bound.popitem(last=False)
        return bound

    def close(self) -> None:
        """Let the threads go."""
        self._ws.close()


def _is_large(bound: BoundGraph | None) -> bool:
    if bound is None:
        return False
    sizes = (one.output.count * get_numpy_dtype(one.output.dtype).itemsize for one in bound.nodes)
    return sum(sizes) > SMALL_BYTES


def evaluate(
    graph: CanonicalGraph,
    weights: Sequence[Array],
    inputs: Sequence[Array],
    *,
    threads: int = 1,
    sink: Sink | None = None,
) -> tuple[Array, ...]:
    """Compute a graph's outputs once; `Evaluator` keeps what can be kept between requests.

    Args:
        graph: The canonical graph.
        weights: In the records' order.
        inputs: In the records' order.
        threads: Worked on at a time.
        sink: Is given every entry's number and elements, in order.

    Raises:
        Refusal: `canon.wrong-dtype`, `canon.wrong-shape`, `canon.dim-out-of-range`.
        Misuse: `canon.wrong-weights`, `canon.no-kernel`.
    """
    evaluator = Evaluator(graph, weights, threads=threads)
    try:
        return evaluator.evaluate(inputs, sink=sink)
    finally:
        evaluator.close()
