"""Trains a forecast of the S&P 500's volatility, and writes it as an ONNX file.

Variance of a day from its open, high, low and close (Garman and Klass 1980); its logarithm of
the next day is regressed on that of today, of the last 5 and of the last 22 days (the HAR of
Corsi 2009), and on the losses of today and of the last 5 days, after which markets move more
(the leverage effect; Corsi and Renò 2012). Least squares on the first four fifths of the days,
measured on the last fifth. The graph takes prices and computes all of that itself. Coefficients
are rounded, so that every machine makes the same file. Operator set 17.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import log, sqrt
from typing import TypeAlias

import numpy as np

from models.onnxfile import FLOAT, INT64, Graph, Value

__all__ = ["DAYS", "compute_r2", "compute_targets", "compute_terms", "fit", "make", "read_prices"]

DAYS, WEEK = 22, 5
TRADING_DAYS = 252
FLOOR = 1e-8
"""A day without any movement has no logarithm; this is a hundredth of a percent."""
CLOSE_WEIGHT = 2 * log(2) - 1
DECIMALS = 6
COLUMNS = ("Open", "High", "Low", "Close")

Floats: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What was learned, and how well it does on days that it was not learned from.

    Attributes:
        weights: One for each term.
        constant: Added to them.
        r2, har_r2, naive_r2: Out of sample: of this model, of the HAR without losses fitted on
            the same days, and of "tomorrow is as today".
    """

    weights: tuple[float, ...]
    constant: float
    r2: float
    har_r2: float
    naive_r2: float
    trained_days: int
    tested_days: int


def read_prices(table: bytes) -> Floats:
    """Read the days' prices, shape (days, 4): open, high, low, close."""
    rows = csv.DictReader(io.StringIO(gzip.decompress(table).decode()))
    return np.array([[float(row[name]) for name in COLUMNS] for row in rows])


def compute_log_variance(prices: Floats) -> Floats:
    """Compute each day's log-variance from prices whose last axis is open, high, low, close."""
    begin, high, low, end = (prices[..., column] for column in range(4))
    variance = 0.5 * np.log(high / low) ** 2 - CLOSE_WEIGHT * np.log(end / begin) ** 2
    return np.log(np.maximum(variance, FLOOR))


def compute_terms(windows: Floats) -> Floats:
    """Compute the regression's five terms from windows of 22 days, shape (n, 22, 4)."""
    levels = compute_log_variance(windows)
    losses = np.minimum(np.diff(np.log(windows[..., 3]), axis=-1), 0)
    return np.stack(
        (
            levels[:, -1],
            levels[:, -WEEK:].mean(axis=1),
            levels.mean(axis=1),
            losses[:, -1],
            losses[:, -WEEK:].mean(axis=1),
        ),
        axis=1,
    )


def compute_targets(prices: Floats) -> tuple[Floats, Floats]:
    """Cut prices into windows of 22 days, and say what came on the day after each."""
    windows = np.lib.stride_tricks.sliding_window_view(prices, DAYS, axis=0).swapaxes(1, 2)
    return windows[:-1], compute_log_variance(prices)[DAYS:]


def fit(prices: Floats) -> Fit:
    """Learn from the first four fifths, measure on the last."""
    windows, targets = compute_targets(prices)
    terms = compute_terms(windows)
    cut = len(targets) * 4 // 5

    def measure(columns: int) -> tuple[Floats, float]:
        table = np.column_stack((terms[:, :columns], np.ones(len(terms))))
        exact = np.linalg.lstsq(table[:cut], targets[:cut], rcond=None)[0]
        learned = exact.astype(np.float64).round(DECIMALS)
        return learned, compute_r2(table[cut:] @ learned, targets[cut:])

    learned, r2 = measure(terms.shape[1])
    return Fit(
        weights=tuple(learned[:-1].tolist()),
        constant=float(learned[-1]),
        r2=r2,
        har_r2=measure(3)[1],
        naive_r2=compute_r2(terms[cut:, 0], targets[cut:]),
        trained_days=cut,
        tested_days=len(targets) - cut,
    )


def compute_r2(forecasts: Floats, truth: Floats) -> float:
    """Compute the share of the variation that forecasts explain; 1 is all of it."""
    missed = float(((truth - forecasts) ** 2).sum())
    return 1 - missed / float(((truth - truth.mean()) ** 2).sum())


def make(sources: Mapping[str, bytes]) -> dict[str, bytes]:
    """Train the model.

    Args:
        sources: Holds `sp500.csv.gz`.

    Returns:
        `model.onnx`: `prices`, float32 of shape (n, 22, 4), oldest day first, to `log_variance`
        of the next day and `volatility`, the same in percent a year, both float32 of shape (n,
        1). `facts.json`: how well it does, and `README.md`: its card.
    """
    learned = fit(read_prices(sources["sp500.csv.gz"]))
    facts = {
        "r2": round(learned.r2, 4),
        "har_r2": round(learned.har_r2, 4),
        "naive_r2": round(learned.naive_r2, 4),
        "trained_days": learned.trained_days,
        "tested_days": learned.tested_days,
        "weights": learned.weights,
        "constant": learned.constant,
    }
    return {
        "model.onnx": _write_graph(learned),
        "facts.json": (json.dumps(facts, indent=2) + "\n").encode(),
        "README.md": _write_card(learned).encode(),
    }


def _write_graph(learned: Fit) -> bytes:
    graph = Graph(name="sp500-volatility", opset=17, ir_version=8)
    add = graph.add
    edges = {"first": 0, "second": 1, "days": DAYS, "week": DAYS - WEEK, "last": DAYS - 1}
    for name, value in {**edges, "before_last": DAYS - 1, "lost_week": DAYS - 1 - WEEK}.items():
        graph.hold(name, (value,), INT64)
    graph.hold("along_days", (1,), INT64)
    numbers = {"half": 0.5, "close_weight": CLOSE_WEIGHT, "floor": FLOOR, "nothing": 0.0}
    for name, number in {**numbers, "percent_a_year": 100 * sqrt(TRADING_DAYS)}.items():
        graph.hold(name, (number,), rank=0)
    graph.hold("constant", (learned.constant,))
    weights = np.array(learned.weights, "<f4")
    graph.weigh("weights", (len(weights), 1), weights.tobytes())

    def column(number: int) -> str:
        at = graph.hold(f"column_{number}", (number,), INT64, rank=0)
        return add("Gather", ("prices", at), axis=2)

    def log_ratio(over: str, under: str) -> str:
        return add("Log", (add("Div", (over, under)),))

    def cut(x: str, start: str, end: str) -> str:
        return add("Slice", (x, start, end, "along_days"))

    def mean(x: str) -> str:
        return add("ReduceMean", (x,), axes=(1,), keepdims=1)

    begin, high, low, end = (column(number) for number in range(4))
    span, change = log_ratio(high, low), log_ratio(end, begin)
    spread = add("Mul", (add("Mul", (span, span)), "half"))
    drift = add("Mul", (add("Mul", (change, change)), "close_weight"))
    levels = add("Log", (add("Max", (add("Sub", (spread, drift)), "floor")),))
    returns = log_ratio(cut(end, "second", "days"), cut(end, "first", "before_last"))
    losses = add("Min", (returns, "nothing"))
    terms = (
        cut(levels, "last", "days"),
        mean(cut(levels, "week", "days")),
        mean(levels),
        # There is one return fewer than days.
        add("Slice", (losses, graph.hold("last_loss", (DAYS - 2,), INT64), "days", "along_days")),
        mean(cut(losses, "lost_week", "days")),
    )
    add("Gemm", (add("Concat", terms, axis=1), "weights", "constant"), "log_variance")
    root = add("Exp", (add("Mul", ("log_variance", "half")),))
    add("Mul", (root, "percent_a_year"), "volatility")
    inputs = [Value(name="prices", kind=FLOAT, shape=("n", DAYS, 4))]
    names = ("log_variance", "volatility")
    outputs = [Value(name=name, kind=FLOAT, shape=("n", 1)) for name in names]
    doc = "Tomorrow's volatility of the S&P 500 from 22 days of prices"
    return graph.encode(inputs, outputs, producer="models/volatility.py", doc=doc)


def _write_card(learned: Fit) -> str:
    return f"""# S&P 500 volatility

Forecasts the next trading day's volatility of the S&P 500 from 22 days of open, high, low and
close: a HAR regression (Corsi 2009) on the Garman-Klass log-variance of the last 1, 5 and 22
days, and on the losses of the last 1 and 5 days.

Trained on {learned.trained_days} days from January 1999 on, measured on the next \
{learned.tested_days} days, up to December
2018, in terms of the log-variance:

| forecast | R2 out of sample |
|---|---|
| this model | {learned.r2:.3f} |
| HAR without losses | {learned.har_r2:.3f} |
| tomorrow is as today | {learned.naive_r2:.3f} |

Data: `arch` 8.0.0 (NCSA), `sp500.csv.gz`. A demonstration with prices that end in 2018; no advice.
"""
