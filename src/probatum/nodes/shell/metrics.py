"""Figures of a process in the Prometheus text format: counters, histograms, gauges.

Small on purpose: one process, few figures, no registry that anybody else writes to. A figure has a
bounded number of series, whatever words its labels come from. Must not know what is measured; see
`meter`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

__all__ = ["SECONDS", "SIZES", "Counter", "Figure", "Gauges", "Histogram", "write_figures"]

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
SERIES: Final = 256
"""Most series of one figure; what comes after that is counted as ``other``."""

Labels: TypeAlias = tuple[str, ...]


class Counter:
    """Counts what happened, by labels."""

    def __init__(self, name: str, text: str, labels: tuple[str, ...] = ()) -> None:
        """Make a counter; `name` ends in ``_total``."""
        self.name, self.text, self._labels = name, text, labels
        self._counts: dict[Labels, float] = {}

    def add(self, *values: str, amount: float = 1) -> None:
        """Count once more under these label values."""
        before = self._counts.get(values)
        if before is None:
            values = _bound(self._counts, values)
            before = self._counts.get(values, 0)
        self._counts[values] = before + amount

    def write(self) -> Iterable[str]:
        """Write the figure's lines."""
        yield from _head(self.name, self.text, "counter")
        for values, count in sorted(self._counts.items()):
            yield f"{self.name}{_show(self._labels, values)} {_number(count)}"


class Histogram:
    """Sorts observations into buckets, by labels."""

    def __init__(
        self, name: str, text: str, bounds: tuple[float, ...], labels: tuple[str, ...] = ()
    ) -> None:
        """Make a histogram with these upper bounds, and one bucket for all above."""
        self.name, self.text, self._bounds, self._labels = name, text, bounds, labels
        self._buckets: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}

    def observe(self, value: float, *values: str) -> None:
        """Take one observation under these label values."""
        buckets = self._buckets.get(values)
        if buckets is None:
            values = _bound(self._buckets, values)
            buckets = self._buckets.setdefault(values, [0] * (len(self._bounds) + 1))
            self._sums.setdefault(values, 0.0)
        buckets[bisect_left(self._bounds, value)] += 1
        self._sums[values] += value

    def write(self) -> Iterable[str]:
        """Write the figure's lines."""
        yield from _head(self.name, self.text, "histogram")
        names = (*self._labels, "le")
        bounds = (*map(_number, self._bounds), "+Inf")
        for values, buckets in sorted(self._buckets.items()):
            count = 0
            for bound, inside in zip(bounds, buckets, strict=True):
                count += inside
                yield f"{self.name}_bucket{_show(names, (*values, bound))} {count}"
            yield f"{self.name}_sum{_show(self._labels, values)} {_number(self._sums[values])}"
            yield f"{self.name}_count{_show(self._labels, values)} {count}"


class Gauges:
    """Figures that are looked up when somebody asks: name to value."""

    def __init__(self, look: Callable[[], Mapping[str, float]], kind: str = "gauge") -> None:
        """Make it; names that `look` gives are whole."""
        self._look, self._kind = look, kind

    def write(self) -> Iterable[str]:
        """Write the figures' lines."""
        for name, value in sorted(self._look().items()):
            yield f"# TYPE {name} {self._kind}"
            yield f"{name} {_number(value)}"


Figure: TypeAlias = Counter | Histogram | Gauges


def write_figures(figures: Iterable[Figure]) -> bytes:
    """Write figures as one page of the text format."""
    lines = [line for figure in figures for line in figure.write()]
    return ("\n".join(lines) + "\n").encode()


def _bound(known: Mapping[Labels, object], values: Labels) -> Labels:
    if values in known or len(known) < SERIES:
        return values
    return tuple("other" for _ in values)


def _head(name: str, text: str, kind: str) -> Iterable[str]:
    return (f"# HELP {name} {text}", f"# TYPE {name} {kind}")


def _show(names: tuple[str, ...], values: Labels) -> str:
    if not names:
        return ""
    pairs = (f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True))
    return "{" + ",".join(pairs) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(round(value, 9))
