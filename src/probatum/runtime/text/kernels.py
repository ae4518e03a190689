"""Chooses what computes a decoder's steps: no bit depends on the choice.

Read `pure` next.
"""

from __future__ import annotations

from probatum.runtime.text.pure import PureKernel
from probatum.runtime.text.steps import Kernel

__all__ = ["make_kernel"]


def make_kernel(threads: int = 1) -> Kernel:
    """Make the fastest kernel that there is.

    Args:
        threads: Worked on at a time.
    """
    return PureKernel(threads)
