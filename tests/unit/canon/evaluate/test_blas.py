from __future__ import annotations

import numpy as np
import pytest

from probatum.canon.evaluate import blas


def test_threads_are_as_before_afterwards():
    controls = blas._find_controls()
    if controls is None:
        pytest.skip("numpy has another BLAS here")
    _, get_threads = controls
    before = get_threads()
    for threads in (1, 2):
        with blas.limit_blas(threads):
            assert get_threads() == threads
        assert get_threads() == before
    with pytest.raises(ValueError, match="inside"), blas.limit_blas(1):
        raise ValueError("inside")
    assert get_threads() == before


def test_adds_a_product():
    rng = np.random.default_rng(0)
    left, right = (rng.integers(-9, 9, (rows, 40)).astype(float) for rows in (5, 7))
    out = np.ones((5, 7))
    want = 1 + left[:, 3:21] @ right[:, 3:21].T
    if not blas.add_product(left[:, 3:21], right[:, 3:21], out):
        pytest.skip("numpy has another BLAS here")
    assert out.tolist() == want.tolist()


def test_what_it_cannot_read_is_left_alone():
    square = np.ones((4, 4))
    for odd in (square[:, ::2], square.astype(np.float32), square[0], square[:0]):
        assert not blas.add_product(odd, square, np.zeros((4, 4)))
    overlapping = np.lib.stride_tricks.as_strided(np.ones(9), (4, 4), (8, 8))
    assert not blas.add_product(overlapping, square, np.zeros((4, 4)))
