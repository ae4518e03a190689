"""Amounts as people write them: decimal tokens, read and written exactly, never through a float.

One token is 10⁹ units. Must not know accounts.
"""

from __future__ import annotations

import re
from typing import Final

from probatum.errors import Refusal
from probatum.protocol.primitives import AMOUNT_BOUND, UNITS_PER_TOKEN

__all__ = ["format_units", "parse_tokens"]

_PLACES: Final = len(str(UNITS_PER_TOKEN)) - 1
_FORM: Final = re.compile(r"(?P<whole>[0-9]{1,19})(?:\.(?P<part>[0-9]{1,9}))?")


def parse_tokens(text: str) -> int:
    """Read tokens (``1.5``) as units (1500000000).

    Raises:
        Refusal: `amount.malformed`, `amount.too-large`.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise Refusal(
            "amount.malformed",
            f"{text[:40]!r} is no amount of tokens",
            hint=f"digits, and after a point at most {_PLACES} more: 12 or 0.25",
        )
    part = (match["part"] or "").ljust(_PLACES, "0")
    units = int(match["whole"]) * UNITS_PER_TOKEN + int(part)
    if units >= AMOUNT_BOUND:
        raise Refusal("amount.too-large", f"{text[:40]} tokens are more than can exist")
    return units


def format_units(units: int) -> str:
    """Write units as tokens, as short as is exact: ``1.5``."""
    whole, part = divmod(units, UNITS_PER_TOKEN)
    digits = f"{part:0{_PLACES}d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
