"""Prices for the volatility forecast: windows of 22 days out of the published table.

The table ends in 2018, so a forecast of one of its days can be held against what came. Must not
know networks.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt
from pathlib import Path
from typing import Final

import numpy as np

from probatum.errors import Refusal
from probatum.hub.files import disk_faults, read_bounded
from probatum.protocol import limits

__all__ = ["DAYS", "NAME", "Day", "compute_volatility", "make_window", "read_days"]

NAME: Final = "sp500-volatility"
DAYS: Final = 22
"""Trading days that a forecast looks back."""
_TRADING_DAYS: Final = 252
_TABLE: Final = "sp500.csv.gz"
_TABLE_BYTES: Final = 16 * limits.MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One trading day.

    Attributes:
        date: As the table writes it, month first.
        prices: Open, high, low, close.
    """

    date: str
    prices: tuple[float, float, float, float]


def read_days(source: Path) -> tuple[Day, ...]:
    """Read the fetched table, oldest day first.

    Raises:
        Refusal: `demo.other-prices` if it is none.
        Fault: `hub.disk`.
    """
    with disk_faults(f"cannot read the prices in {source}"):
        data = read_bounded(source / _TABLE, limits.MIB)
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            text = file.read(_TABLE_BYTES).decode()
        return tuple(
            Day(
                date=row["Date"],
                prices=(
                    float(row["Open"]),
                    float(row["High"]),
                    float(row["Low"]),
                    float(row["Close"]),
                ),
            )
            for row in csv.DictReader(io.StringIO(text))
        )
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise Refusal(
            "demo.other-prices",
            f"the table of prices cannot be read: {error}",
            hint="fetch it again: python models/fetch.py sp500-volatility",
        ) from None


def make_window(
    days: Sequence[Day], last: int
) -> np.ndarray[tuple[int, int, int], np.dtype[np.float32]]:
    """Make the model's input `prices` for the forecast of the day after `last`.

    Returns:
        float32 of shape (1, 22, 4).
    """
    chosen = days[last - DAYS + 1 : last + 1]
    return np.array([[day.prices for day in chosen]], np.float32)


def compute_volatility(day: Day) -> float:
    """Compute what a day's volatility was, in percent a year (Garman and Klass 1980)."""
    begin, high, low, end = day.prices
    variance = 0.5 * log(high / low) ** 2 - (2 * log(2) - 1) * log(end / begin) ** 2
    return 100 * sqrt(_TRADING_DAYS * variance)
