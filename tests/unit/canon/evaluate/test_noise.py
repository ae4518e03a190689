"""Noise of many words at once: decided by its bound, or by the judge (`GUMBEL-1`, `CANON-2`)."""

import gmpy2
import numpy as np
import pytest

from probatum.canon.arith.gumbel import NOISE_BITS, compute_gumbel
from probatum.canon.evaluate import noise
from probatum.canon.evaluate.noise import NOISE_ERROR, compute_noise, compute_words, round_noise
from probatum.canon.evaluate.workspace import Scratch
from probatum.canon.primitives.maps.noise import derive_noise_key

HARD = (952025151, 3877676956, 1664635138, 1685705203)
"""Words whose noise is within 2**-28 units of half an integer, the first the hardest of all."""
LEAST_GAP = 2.0**-34.7
"""As near to half an integer no word comes."""
SIXTEENTH = 1 << 28
STRETCH = 1 << 20


def compute_units(words, scratch):
    return np.rint(compute_noise(words, scratch).astype(np.float64) * 2.0**NOISE_BITS)


def find_ends(units):
    """Find the first and the last place of every run of equal values."""
    first = np.flatnonzero(np.diff(units)) + 1
    return np.unique(np.concatenate(([0], first - 1, first, [len(units) - 1])))


def measure_gap(word, units):
    """How far the exact value is from the rounding boundary beyond which it were another."""
    uniform = gmpy2.div_2exp(gmpy2.mpfr(2 * word + 1), 33)
    exact = gmpy2.mul_2exp(-gmpy2.log(-gmpy2.log(uniform)), NOISE_BITS)
    return 0.5 - abs(exact - units)


def check_words(begin, end):
    """Check all words of a range: the hardest of them, and how near it is to another value.

    The exact function grows with the word. If what is computed never falls, and both ends of each
    run of equal values are exact, then all in between are: no error bound is believed.
    """
    scratch, least, hardest = Scratch(), 1.0, 0
    for start in range(begin, end, STRETCH):
        words = np.arange(start, min(end, start + STRETCH), dtype=np.uint32)
        units = compute_units(words, scratch)
        assert (np.diff(units) >= 0).all()
        ends = find_ends(units)
        with gmpy2.context(precision=128):
            for word, value in zip(words[ends].tolist(), units[ends].tolist(), strict=True):
                gap = measure_gap(word, value)
                if gap < least:
                    least, hardest = gap, word
    assert least > LEAST_GAP, f"word {hardest} is nearer to half an integer than the clause says"
    return hardest, float(least)


@pytest.mark.parametrize("begin", [0, 123456789, 1580030168 - 2**12, 2**32 - 2**13])
def test_stretches_of_words(begin):
    _, least = check_words(begin, begin + 2**13)
    assert 0 < least <= 0.5


@pytest.mark.nightly
@pytest.mark.parametrize("sixteenth", range(16))
def test_all_words(sixteenth, monkeypatch):
    judged = []
    monkeypatch.setattr(
        noise, "compute_gumbel", lambda word: judged.append(word) or compute_gumbel(word)
    )
    hardest, _ = check_words(sixteenth * SIXTEENTH, (sixteenth + 1) * SIXTEENTH)
    assert compute_gumbel(hardest) == compute_units(np.array([hardest], np.uint32), Scratch())[0]
    assert 0 < len(judged) < 4 * NOISE_ERROR * SIXTEENTH


def test_the_undecided_are_judged():
    words = np.array(HARD, np.uint32)
    _, undecided = round_noise(words, Scratch())
    assert undecided.tolist() == [0, 1, 2, 3]
    assert compute_units(words, Scratch()).tolist() == [compute_gumbel(word) for word in HARD]


def test_zero_has_no_sign():
    words = np.arange(1580030168 - 2**13, 1580030168 + 2**13, dtype=np.uint32)
    noise = compute_noise(words, Scratch())
    assert (noise == 0).any()
    assert not np.signbit(noise[noise == 0]).any()


def test_the_greatest_is_drawn_as_softmax_says():
    """Forty thousand draws among five tokens, three of them in one block."""
    logits = np.array([0.0, 1.0, -1.0, 0.5, 2.0], np.float32)
    tokens, draws = np.array([3, 4, 5, 900, 49_000]), 40_000
    places = np.repeat(np.arange(draws), len(tokens))
    words = compute_words(derive_noise_key(bytes(32), 0), places, np.tile(tokens, draws))
    noise = compute_noise(words, Scratch()).reshape(draws, len(tokens))
    for temperature in (0.5, 1.0, 3.0):
        won = (logits + np.float32(temperature) * noise).argmax(axis=1)
        shares = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
        counts = np.bincount(won, minlength=len(tokens))
        deviations = np.sqrt(draws * shares * (1 - shares))
        assert (np.abs(counts - draws * shares) < 4 * deviations).all()
