"""Weights in fewer bits are what those formats hold."""

from __future__ import annotations

import numpy as np

from probatum.runtime.checking.narrowing import NARROWINGS, narrow_all

VALUES = np.array(
    [1, -1 - 2.0**-8, 1 + 2.0**-8 + 2.0**-30, 65520, 1e-30, 3e38, 0, -0.0], np.float32
)


def test_bfloat16_is_nearest_ties_to_even():
    got = NARROWINGS["bfloat16 weights"](VALUES)
    assert got[:3].tolist() == [1, -1, 1.0]
    finer = np.array([1 + 3 * 2.0**-8, 1 + 2.0**-8 + 2.0**-20], np.float32)
    assert NARROWINGS["bfloat16 weights"](finer).tolist() == [1 + 2.0**-6, 1 + 2.0**-7]
    assert np.all(got.view(np.uint32) & 0xFFFF == 0)
    assert abs(got[5] / VALUES[5] - 1) < 2.0**-8
    odd = np.array([np.inf, -np.inf, np.nan], np.float32)
    np.testing.assert_array_equal(NARROWINGS["bfloat16 weights"](odd), odd)


def test_float16_saturates_as_converters_do_but_keeps_infinities():
    got = NARROWINGS["float16 weights"](VALUES)
    assert got[3:5].tolist() == [65504, 0]
    assert NARROWINGS["float16 weights"](np.array([-np.inf], np.float32)).tolist() == [-np.inf]


def test_int8_has_255_levels_a_channel():
    rows = np.array([[127, -63.4, 0.6], [0, 0, 0], [1e-3, -1e-3, 5e-4]], np.float32)
    got = NARROWINGS["int8 weights, by channel"](rows)
    assert got[0].tolist() == [127, -63, 1]
    assert got[1].tolist() == [0, 0, 0]
    np.testing.assert_allclose(got[2], [1e-3, -1e-3, 64e-3 / 127], rtol=1e-6)
    vector = rows[0]
    assert NARROWINGS["int8 weights, by channel"](vector) is vector


def test_what_stands_alone_and_what_is_no_float32_stays():
    epsilon, ids = np.array([1e-12], np.float32), np.array([1, 2])
    weights = (epsilon, ids, VALUES)
    got = narrow_all(weights, NARROWINGS["float16 weights"])
    assert got[0] is epsilon
    assert got[1] is ids
    assert got[2].tolist() != VALUES.tolist()
    assert narrow_all((epsilon, ids), NARROWINGS["float16 weights"]) is None
