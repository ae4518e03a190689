"""Chooses what computes a decoder's steps: no bit depends on the choice.

Read `pure` and `compiled` next.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from probatum.canon.evaluate.libraries import LEVELS
from probatum.runtime.text.compiled import CompiledKernel, load_widest
from probatum.runtime.text.pure import PureKernel
from probatum.runtime.text.steps import Kernel
from probatum.runtime.text.trial import find_difference

__all__ = ["KernelFacts", "explain_kernel", "make_kernel"]


def make_kernel(threads: int = 1) -> Kernel:
    """Make the fastest kernel that there is.

    Args:
        threads: Worked on at a time.
    """
    loaded = load_widest()
    if loaded is None or _find_fault() is not None:
        return PureKernel(threads)
    library, level = loaded
    return CompiledKernel(library, threads, name=f"compiled-{level}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelFacts:
    """What computes text here.

    Attributes:
        detail: For a person.
        fault: What the compiled kernel computes otherwise than numpy; empty if nothing.
    """

    detail: str
    fault: str = ""


def explain_kernel() -> KernelFacts:
    """Tell what `make_kernel` makes, and why."""
    loaded = load_widest()
    if loaded is None:
        return KernelFacts(detail="no compiled kernel was built: numpy computes text, slower")
    fault = _find_fault()
    if fault is not None:
        detail = f"numpy computes text: the compiled kernel gives other bits ({fault})"
        return KernelFacts(detail=detail, fault=fault)
    return KernelFacts(detail=f"a compiled kernel computes text, with {LEVELS[loaded[1]]}")


@cache
def _find_fault() -> str | None:
    """Try the compiled kernel, once in this process."""
    loaded = load_widest()
    if loaded is None:
        return None
    kernel = CompiledKernel(loaded[0])
    try:
        return find_difference(kernel, PureKernel())
    finally:
        kernel.close()
