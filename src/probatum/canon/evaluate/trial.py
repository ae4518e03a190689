"""Whether the compiled kernel computes what numpy does: tried on hostile samples before it is used.

A compiler or a processor may be at fault, where the C pages are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from probatum.canon.evaluate.compiled import Compiled, load_widest
from probatum.canon.evaluate.fused import multiply_fused
from probatum.canon.evaluate.libraries import LEVELS
from probatum.canon.evaluate.products import multiply_rows
from probatum.canon.evaluate.univariate.applying import FUNCTIONS, apply_univariate
from probatum.canon.evaluate.values import Array, Value
from probatum.canon.evaluate.widening import widen_rows
from probatum.canon.evaluate.workspace import Workspace

__all__ = ["CompiledFacts", "explain_compiled", "find_compiled", "find_difference", "make_floats"]

_SEED: Final = 20_240_229
_SHAPES: Final = ((1, 1, 5, 3), (2, 9, 40, 17), (1, 20, 70, 300), (3, 8, 33, 64))
"""Matrices, rows, terms and columns of products."""
_SPECIAL: Final = (
    "0 -0 inf -inf nan -nan 1e-45 -1e-45 1.1754944e-38 3.4028235e38 88.72283 88.72284 -103.97208 "
    "-103.97207 9.01 9.02 3.9192059 3.92 1 -1 127.5"
)


def make_floats(rng: np.random.Generator, count: int) -> Array:
    """Draw float32 of every kind: special values, ordinary ones, all exponents, any bits."""
    usual = rng.standard_normal(count)
    spread = rng.standard_normal(count) * 2.0 ** rng.integers(-150, 20, count)
    drawn = np.concatenate((usual, usual * 30, spread)).astype(np.float32)
    anything = rng.integers(0, 1 << 32, count, np.uint64).astype(np.uint32).view(np.float32)
    special = np.array(_SPECIAL.split()).astype(np.float32)
    return np.concatenate((special, drawn, anything))


def find_difference(compiled: Compiled, count: int = 300) -> str | None:
    """Find what a kernel computes otherwise than numpy; None if nothing.

    Args:
        compiled: The kernel.
        count: Samples of each kind.
    """
    rng = np.random.default_rng(_SEED)
    with np.errstate(all="ignore"):
        x = make_floats(rng, count)
        for name, function in FUNCTIONS.items():
            # log of what has none goes to integers either way, each at its cost.
            some = np.abs(x) if name == "Log" else x
            value, found = Value(some, "float32", finite=False), []
            for ws in (Workspace(), Workspace(compiled=compiled)):
                found.append(np.empty_like(some))
                if compiled.has(name):
                    apply_univariate(function, value, found[-1], ws)
            if compiled.has(name) and found[0].tobytes() != found[1].tobytes():
                return f"{name} of hostile values"
        for shape in _SHAPES:
            if _multiply(shape, Workspace()) != _multiply(shape, Workspace(compiled=compiled)):
                return "products of hostile values"
    return None


def _multiply(shape: tuple[int, ...], ws: Workspace) -> bytes:
    """Multiply matrices that cancel, tie, vanish or hold zeros of both signs: all bits."""
    matrices, height, terms, columns = shape
    rng = np.random.default_rng(_SEED)
    found = b""
    for scale in (1.0, 2.0**-75, 2.0**-140, 2.0**60):
        left, right = (
            (rng.integers(-4, 5, (matrices, rows, terms)) / 4 * scale).astype(np.float32)
            for rows in (height, columns)
        )
        left[:, ::3] *= rng.standard_normal(terms).astype(np.float32)
        right[:, ::2] *= rng.standard_normal(terms).astype(np.float32)
        right[:, 1::4] *= np.float32(1 + 2.0**-23)
        ones, one_norms = widen_rows(left, "float32", ws)
        twos, two_norms = widen_rows(right, "float32", ws, flipped=True)
        out = np.empty((matrices, height, columns), np.float32)
        multiply_rows(ones, twos, (one_norms, two_norms), "float32", out, ws)
        found += out.tobytes() + ones.tobytes() + twos.tobytes()
        one, two = (Value(side, "float32", finite=True) for side in (left, right))
        multiply_fused(one, two, out, ws)
        found += out.tobytes()
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledFacts:
    """What computes float32 here beside numpy.

    Attributes:
        detail: For a person.
        fault: What the compiled kernel computes otherwise than numpy; empty if nothing.
    """

    detail: str
    fault: str = ""


def explain_compiled() -> CompiledFacts:
    """Tell what `find_compiled` finds, and why."""
    compiled = load_widest()
    if compiled is None:
        detail = "no compiled kernel was built: numpy evaluates models alone, slower"
        return CompiledFacts(detail=detail)
    fault = _find_fault()
    if fault is not None:
        detail = f"numpy evaluates models alone: the compiled kernel gives other bits ({fault})"
        return CompiledFacts(detail=detail, fault=fault)
    detail = f"a compiled kernel helps to evaluate models, with {LEVELS[compiled.level]}"
    return CompiledFacts(detail=detail)


def find_compiled() -> Compiled | None:
    """Find the compiled kernel; None where there is none, or where it gives other bits."""
    return load_widest() if _find_fault() is None else None


@cache
def _find_fault() -> str | None:
    """Try the compiled kernel, once in this process."""
    compiled = load_widest()
    return None if compiled is None else find_difference(compiled)
