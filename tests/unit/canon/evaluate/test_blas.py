from __future__ import annotations

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
