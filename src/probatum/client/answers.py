"""What a client is given: answers that passed their checks. Must not know how they were asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from probatum.evidence.receipt import CheckLine
from probatum.protocol.primitives import RequestId
from probatum.protocol.receipts import Receipt

__all__ = ["Answer", "TextAnswer"]

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer that passed its checks.

    Attributes:
        outputs: The model's outputs by name; read-only arrays.
        request_id: Names the request everywhere, and its files in the receipts folder.
        receipt: What the node signed.
        checks: What was checked and what was not, in sentences; `str` of a line shows it whole.
        bundle: The pending bundle: shows everything but content to anybody.
        salt: Opens the receipt's roots: with it and the content, anybody can compare.
        price_units: What the gateway charged for it, as its release says.
    """

    outputs: Mapping[str, Array] = field(repr=False)
    request_id: RequestId
    receipt: Receipt = field(repr=False)
    checks: tuple[CheckLine, ...] = field(repr=False)
    bundle: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    price_units: int = 0

    @property
    def receipt_id(self) -> RequestId:
        """The request id: receipts are found under it."""
        return self.request_id


@dataclass(frozen=True, slots=True, kw_only=True)
class TextAnswer:
    """A text that passed its checks (`TEXT-1`).

    Attributes:
        ids: Its tokens, those that end it among them.
        ended: Whether it ended by itself.
        cancelled: Why it did not: ``enough`` was heard, or the gateway took the line for cut.
        answer: Everything else.
    """

    ids: tuple[int, ...] = field(repr=False)
    ended: bool
    cancelled: Literal["hung-up", "enough"] | None
    answer: Answer
