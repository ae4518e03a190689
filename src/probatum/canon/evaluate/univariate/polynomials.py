"""Horner's scheme, over whole arrays: one multiplication and one addition a coefficient."""

from __future__ import annotations

import numpy as np

from probatum.canon.evaluate.values import Doubles

__all__ = ["compute_polynomial"]


def compute_polynomial(coefficients: tuple[float, ...], x: Doubles, out: Doubles) -> None:
    """Compute a polynomial of degree at least 1.

    Args:
        coefficients: The constant first.
        x: The variable.
        out: Takes the values; not x.
    """
    np.multiply(x, coefficients[-1], out=out)
    for coefficient in coefficients[-2:0:-1]:
        out += coefficient
        out *= x
    out += coefficients[0]
