"""Sizes: integer expressions in a graph's declared dims (`NODE-1`).

A size is an integer, or a polynomial in named dims whose factors may be quotients rounded down.
Each polynomial has one form only: terms in a fixed order, no zero coefficients, a constant is an
integer. Arithmetic works on both alike, so that the shape rules of primitives hold for declared
dims as for bound ones; two sizes count as equal where their forms are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from probatum.errors import Refusal
from probatum.protocol.encoding import LedgerValue, encode

__all__ = [
    "BOUND",
    "Expr",
    "Quotient",
    "Size",
    "Term",
    "bind_size",
    "bound_size",
    "check_size",
    "divide_by_dim",
    "is_lone_dim",
    "make_dim",
    "multiply_sizes",
    "names_dim",
    "show_size",
    "sum_sizes",
]

BOUND: Final = 1 << 62
"""Coefficients and bound sizes stay below this in magnitude."""
TERMS: Final = 16
FACTORS: Final = 8
DEPTH: Final = 4

DimName: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,31}\Z")]


class Quotient(LedgerValue, frozen=True, kw_only=True):
    """``floor(numerator / divisor)``; the divisor is at least 2."""

    numerator: Expr
    divisor: int


class Term(LedgerValue, frozen=True, kw_only=True):
    """A coefficient times dims and quotients, in order; no factors: the constant term."""

    coefficient: int
    factors: Annotated[tuple[DimName | Quotient, ...], Meta(max_length=FACTORS)]


class Expr(LedgerValue, frozen=True, kw_only=True):
    """A size that depends on dims. Made by arithmetic, never by hand."""

    terms: Annotated[tuple[Term, ...], Meta(min_length=1, max_length=TERMS)]

    def __add__(self, other: Size) -> Size:
        """Add."""
        return _collect((*self.terms, *_get_terms(other)))

    __radd__ = __add__

    def __neg__(self) -> Size:
        """Negate."""
        return self * -1

    def __sub__(self, other: Size) -> Size:
        """Subtract."""
        return self + other * -1

    def __rsub__(self, other: int) -> Size:
        """Subtract from an integer."""
        return self * -1 + other

    def __mul__(self, other: Size) -> Size:
        """Multiply."""
        return _collect(
            tuple(
                Term(
                    coefficient=one.coefficient * two.coefficient,
                    factors=tuple(sorted((*one.factors, *two.factors), key=_factor_key)),
                )
                for one in self.terms
                for two in _get_terms(other)
            )
        )

    __rmul__ = __mul__

    def __floordiv__(self, divisor: int) -> Size:
        """Divide by a positive integer, rounding down."""
        if divisor < 1:
            raise Refusal("canon.bad-size", "a size is divided by a positive integer only")
        whole = tuple(t for t in self.terms if t.coefficient % divisor == 0)
        rest = tuple(t for t in self.terms if t.coefficient % divisor != 0)
        quotient = _collect(
            tuple(Term(coefficient=t.coefficient // divisor, factors=t.factors) for t in whole)
        )
        remainder = _collect(rest)
        if isinstance(remainder, int):
            return quotient + remainder // divisor
        factor = Quotient(numerator=remainder, divisor=divisor)
        return quotient + _collect((Term(coefficient=1, factors=(factor,)),))


Size: TypeAlias = int | Expr
"""An integer, or an expression that becomes one when dims are bound."""


def _factor_key(factor: str | Quotient) -> tuple[int, bytes]:
    return (0, factor.encode()) if isinstance(factor, str) else (1, encode(factor))


def _term_key(term: Term) -> tuple[int, tuple[tuple[int, bytes], ...]]:
    # The constant comes last: "batch*seq + batch + 1".
    return (-len(term.factors), tuple(_factor_key(factor) for factor in term.factors))


def _get_terms(size: Size) -> tuple[Term, ...]:
    if isinstance(size, Expr):
        return size.terms
    return (Term(coefficient=size, factors=()),) if size else ()


def _collect(terms: tuple[Term, ...]) -> Size:
    """Bring terms into their one form."""
    sums: dict[tuple[str | Quotient, ...], int] = {}
    for term in terms:
        sums[term.factors] = sums.get(term.factors, 0) + term.coefficient
    kept = [Term(coefficient=n, factors=factors) for factors, n in sums.items() if n]
    if any(abs(term.coefficient) >= BOUND or len(term.factors) > FACTORS for term in kept):
        raise Refusal("canon.bad-size", "a size has too large a coefficient or too many factors")
    if all(not term.factors for term in kept):
        return sum(term.coefficient for term in kept)
    if len(kept) > TERMS:
        raise Refusal("canon.bad-size", f"a size has more than {TERMS} terms")
    return Expr(terms=tuple(sorted(kept, key=_term_key)))


def make_dim(name: str) -> Expr:
    """Make the size that is one dim."""
    return Expr(terms=(Term(coefficient=1, factors=(name,)),))


def is_lone_dim(size: Size, name: str) -> bool:
    """Tell whether a size is this one dim and nothing else."""
    return isinstance(size, Expr) and size.terms == (Term(coefficient=1, factors=(name,)),)


def names_dim(size: Size, name: str) -> bool:
    """Tell whether a size's form names a dim, in quotients too."""
    if isinstance(size, int):
        return False
    return any(
        factor == name if isinstance(factor, str) else names_dim(factor.numerator, name)
        for term in size.terms
        for factor in term.factors
    )


def divide_by_dim(size: Size, name: str) -> Size | None:
    """Divide a size by a dim that is a factor of each of its terms.

    Returns:
        The size that makes it when multiplied by the dim; None where there is none.
    """
    if isinstance(size, int):
        return None
    divided = []
    for term in size.terms:
        if name not in term.factors:
            return None
        at = term.factors.index(name)
        factors = (*term.factors[:at], *term.factors[at + 1 :])
        divided.append(Term(coefficient=term.coefficient, factors=factors))
    return _collect(tuple(divided))


def sum_sizes(sizes: tuple[Size, ...]) -> Size:
    """Add sizes up."""
    total: Size = 0
    for size in sizes:
        total = total + size
    return total


def multiply_sizes(sizes: tuple[Size, ...]) -> Size:
    """Multiply sizes: the number of elements of a shape."""
    total: Size = 1
    for size in sizes:
        total = total * size
    return total


def check_size(size: Size, dims: frozenset[str], *, depth: int = 0) -> None:
    """Check that a decoded size is in its one form and names declared dims only.

    Raises:
        Refusal: `canon.bad-size`, `canon.unknown-dim`.
    """
    if isinstance(size, int):
        if abs(size) >= BOUND:
            raise Refusal("canon.bad-size", f"a size is below {BOUND}")
        return
    if depth >= DEPTH:
        raise Refusal("canon.bad-size", f"quotients are nested deeper than {DEPTH}")
    for term in size.terms:
        for factor in term.factors:
            if isinstance(factor, str):
                if factor not in dims:
                    raise Refusal("canon.unknown-dim", f"no dim is called {factor!r}")
                continue
            check_size(factor.numerator, dims, depth=depth + 1)
            if not 2 <= factor.divisor < BOUND or factor.numerator // factor.divisor != Expr(
                terms=(Term(coefficient=1, factors=(factor,)),)
            ):
                raise Refusal("canon.bad-size", "a quotient is not in its one form")
        if term.factors != tuple(sorted(term.factors, key=_factor_key)):
            raise Refusal("canon.bad-size", "the factors of a term are out of order")
    if _collect(size.terms) != size:
        raise Refusal("canon.bad-size", "a size is not in its one form")


def bind_size(size: Size, dims: Mapping[str, int]) -> int:
    """Compute a size for given dims.

    Raises:
        Refusal: `canon.unknown-dim`, `canon.bad-size` beyond the bound.
    """
    total = _evaluate(size, dims)
    if abs(total) >= BOUND:
        raise Refusal("canon.bad-size", "a bound size is too large")
    return total


def _evaluate(size: Size, dims: Mapping[str, int]) -> int:
    if isinstance(size, int):
        return size
    total = 0
    for term in size.terms:
        value = term.coefficient
        for factor in term.factors:
            if isinstance(factor, str):
                if factor not in dims:
                    raise Refusal("canon.unknown-dim", f"the dim {factor!r} is not bound")
                value *= dims[factor]
            else:
                value *= _evaluate(factor.numerator, dims) // factor.divisor
        total += value
    return total


def bound_size(size: Size, ranges: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    """Enclose a size for all dims within their ranges, by interval arithmetic.

    Args:
        size: Any size.
        ranges: Least and greatest value of each dim, neither negative.

    Returns:
        The size is never less than the first nor greater than the second; both may be far off.

    Raises:
        Refusal: `canon.unknown-dim`.
    """
    if isinstance(size, int):
        return size, size
    low = high = 0
    for term in size.terms:
        ends = (term.coefficient, term.coefficient)
        for factor in term.factors:
            if isinstance(factor, str):
                if factor not in ranges:
                    raise Refusal("canon.unknown-dim", f"the dim {factor!r} has no range")
                one, two = ranges[factor]
            else:
                least, greatest = bound_size(factor.numerator, ranges)
                one, two = least // factor.divisor, greatest // factor.divisor
            products = [end * value for end in ends for value in (one, two)]
            ends = (min(products), max(products))
        low, high = low + ends[0], high + ends[1]
    return low, high


def show_size(size: Size) -> str:
    """Show a size to a person: ``2*batch*seq + 1``."""
    if isinstance(size, int):
        return str(size)
    return " + ".join(_show_term(term) for term in size.terms)


def _show_term(term: Term) -> str:
    shown = [
        factor
        if isinstance(factor, str)
        else f"floor(({show_size(factor.numerator)})/{factor.divisor})"
        for factor in term.factors
    ]
    if term.coefficient != 1 or not shown:
        shown.insert(0, str(term.coefficient))
    return "*".join(shown)
