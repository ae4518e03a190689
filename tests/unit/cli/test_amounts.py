"""Amounts: exact both ways, and nothing but amounts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probatum.cli.amounts import format_units, parse_tokens
from probatum.errors import Refusal
from probatum.protocol.primitives import AMOUNT_BOUND


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("0", 0),
        ("1", 10**9),
        ("1.5", 1_500_000_000),
        ("0.000000001", 1),
        ("007.10", 7_100_000_000),
        ("9223372036.854775807", AMOUNT_BOUND - 1),
    ],
)
def test_tokens_are_read_exactly(text, units):
    assert parse_tokens(text) == units


@pytest.mark.parametrize(
    "text", ["", ".5", "1.", "-1", "+1", "1e3", "1,5", " 1", "1\n", "0.0000000001", "١", "NaN", "x"]
)
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(Refusal) as caught:
        parse_tokens(text)
    assert caught.value.code == "amount.malformed"


def test_more_than_can_exist_is_refused():
    with pytest.raises(Refusal) as caught:
        parse_tokens("9223372036.854775808")
    assert caught.value.code == "amount.too-large"


@given(st.integers(0, AMOUNT_BOUND - 1))
def test_every_amount_survives_being_written_and_read(units):
    assert parse_tokens(format_units(units)) == units


def test_amounts_are_written_short():
    assert [format_units(units) for units in (0, 1, 2_500_000_000)] == ["0", "0.000000001", "2.5"]
