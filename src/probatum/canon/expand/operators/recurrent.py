"""LSTM, one step after the other: the sequence's length is fixed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from probatum.canon.expand.operators.sums import emit_dot
from probatum.canon.expand.site import Expansion, Site
from probatum.canon.expand.values import Value, make_known
from probatum.canon.graph.sizes import Size

__all__ = ["OPERATORS"]

_STEPS: Final = 512


def _slice(site: Site, value: Value, axis: int, start: int, size: int) -> Value:
    shape = site.get_shape(value)
    starts: list[Size] = [0] * len(shape)
    starts[axis] = start
    sizes = (*shape[:axis], size, *shape[axis + 1 :])
    return site.build.emit(
        "Slice", value, starts=tuple(starts), steps=(1,) * len(shape), shape=sizes
    )


def _pick(site: Site, value: Value, axis: int, place: int) -> Value:
    shape = site.get_shape(value)
    one = _slice(site, value, axis, place, 1)
    return site.build.emit("Reshape", one, shape=(*shape[:axis], *shape[axis + 1 :]))


def expand_lstm(site: Site) -> tuple[Value, ...]:
    """LSTM: in each step one product of [x, h] with [W, R], then the gates.

    Directions run apart and are joined; without peepholes, clipping or lengths.
    """
    data = site.get(0)
    _check_plain(site)
    layout = site.get_attribute("layout", 0)
    if layout:
        raise site.refuse("layout 1")
    steps = site.fix(site.get_shape(data)[0], "the sequence")
    if not 1 <= steps <= _STEPS:
        raise site.refuse(f"{steps} steps; 1 to {_STEPS} are unrolled")
    direction = site.get_attribute("direction", "forward")
    turns = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
    runs = [
        _run(site, data, place, steps, back=back) for place, back in enumerate(turns[direction])
    ]
    outputs = _join(site, [run[0] for run in runs], 1)
    hidden, cell = (_join(site, [run[end] for run in runs], 0) for end in (1, 2))
    return outputs, hidden, cell


def _join(site: Site, parts: list[Value], axis: int) -> Value:
    return parts[0] if len(parts) == 1 else site.build.emit("Concat", *parts, axis=axis)


def _check_plain(site: Site) -> None:
    activations = [str(one).lower() for one in site.get_attribute("activations", ())]
    if activations and activations != ["sigmoid", "tanh", "tanh"] * (len(activations) // 3):
        raise site.refuse(f"activations {activations}")
    if site.find(4) is not None or site.find(7) is not None:
        raise site.refuse("sequence lengths and peepholes are not admitted")
    if site.get_attribute("clip") is not None or site.get_attribute("input_forget", 0):
        raise site.refuse("clipping and coupled gates are not admitted")


def _run(
    site: Site, data: Value, place: int, steps: int, *, back: bool
) -> tuple[Value, Value, Value]:
    emit = site.build.emit
    size = int(site.get_attribute("hidden_size"))
    batch = site.get_shape(data)[1]
    both = emit(
        "Concat", _pick(site, site.get(1), 0, place), _pick(site, site.get(2), 0, place), axis=1
    )
    bias = None
    if site.find(3) is not None:
        row = _pick(site, site.get(3), 0, place)
        bias = emit(
            "Add", _slice(site, row, 0, 0, 4 * size), _slice(site, row, 0, 4 * size, 4 * size)
        )
    zero = emit("Expand", make_known(site.require_float(data), 0.0), shape=(batch, size))
    hidden, cell = (
        zero if (given := site.find(which)) is None else _pick(site, given, 0, place)
        for which in (5, 6)
    )
    outputs: list[Value] = []
    for step in reversed(range(steps)) if back else range(steps):
        joined = emit("Concat", _pick(site, data, 0, step), hidden, axis=1)
        gates = emit_dot(site, joined, both)
        gates = gates if bias is None else emit("Add", gates, bias)
        # ONNX keeps the gates in this order: input, output, forget, cell.
        entering, leaving, forgetting, candidate = (
            _slice(site, gates, 1, size * gate, size) for gate in range(4)
        )
        kept = emit("Mul", emit("Sigmoid", forgetting), cell)
        cell = emit("Add", kept, emit("Mul", emit("Sigmoid", entering), emit("Tanh", candidate)))
        hidden = emit("Mul", emit("Sigmoid", leaving), emit("Tanh", cell))
        outputs.append(emit("Reshape", hidden, shape=(1, 1, batch, size)))
    ordered = outputs[::-1] if back else outputs
    while len(ordered) > 1:
        ordered = [
            emit("Concat", *ordered[start : start + 64], axis=0)
            for start in range(0, len(ordered), 64)
        ]
    shape = (1, batch, size)
    return ordered[0], emit("Reshape", hidden, shape=shape), emit("Reshape", cell, shape=shape)


OPERATORS: Final[Mapping[str, tuple[Expansion, frozenset[int]]]] = MappingProxyType(
    {"LSTM": (expand_lstm, frozenset({1, 7, 14, 22}))}
)
"""Expansion of each operator of ``ai.onnx``, and the versions of its definition it is true of."""
