import numpy as np
import pytest

from probatum.canon.arith.gumbel import compute_gumbel
from probatum.canon.primitives.maps.noise import (
    derive_noise_block,
    derive_noise_key,
    get_noise_word,
)
from probatum.runtime.text.sampling import choose_token, list_candidates, make_rule

NONCE = bytes(range(32))


def rule(temperature=1.0, top_k=8, choice=0, nonce=NONCE):
    return make_rule(temperature=temperature, top_k=top_k, choice=choice, nonce=nonce)


def choose_plainly(logits, temperature, top_k, choice, place):
    """GUMBEL-1, word by word (`GUMBEL-1`)."""
    order = sorted(range(len(logits)), key=lambda v: (-logits[v], v))[:top_k]
    key = derive_noise_key(NONCE, choice)
    merits = {}
    for v in order:
        word = get_noise_word(derive_noise_block(key, place, v // 8), v)
        noise = np.float32(compute_gumbel(word) / 2**18)
        with np.errstate(all="ignore"):
            merits[v] = np.float32(logits[v] + np.float32(np.float32(temperature) * noise))
    best = max(merits.values())
    return min(v for v in merits if merits[v] == best)


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0, 1e-30, 3e38])
@pytest.mark.parametrize("top_k", [1, 5, 40])
def test_the_rule_is_gumbel_1(temperature, top_k):
    rng = np.random.default_rng(top_k)
    for place in range(6):
        # Few values: ties at the edge of the candidates, and among the sums.
        logits = rng.integers(-3, 4, 40).astype(np.float32) * np.float32(0.37)
        found = choose_token(logits, rule(temperature, top_k, place % 3), place)
        assert found == choose_plainly(logits, temperature, top_k, place % 3, place)


def test_equal_logits_rank_by_number_and_both_zeros_are_equal():
    logits = np.array([0.0, -0.0, 1.0, -0.0, 0.0, -1.0], np.float32)
    assert sorted(list_candidates(logits, 3)) == [0, 1, 2]
    assert sorted(list_candidates(logits, 6)) == [0, 1, 2, 3, 4, 5]
    assert choose_token(np.zeros(9, np.float32), rule(0.0, 9), 0) == 0


def test_nonce_choice_and_place_each_change_what_is_drawn():
    logits = np.zeros(4096, np.float32)

    def draw(place=0, **words):
        return choose_token(logits, rule(top_k=4096, **words), place)

    assert len({draw(), draw(place=1), draw(choice=1), draw(nonce=bytes(32))}) == 4


def test_tokens_are_drawn_by_the_softmax():
    logits = np.log(np.array([0.5, 0.3, 0.2])).astype(np.float32)
    drawn = [choose_token(logits, rule(1.0, 3), place) for place in range(3_000)]
    shares = np.bincount(drawn, minlength=3) / len(drawn)
    assert np.abs(shares - [0.5, 0.3, 0.2]).max() < 0.04
