"""Which token follows: the greatest sum of logit and noise among the candidates (`GUMBEL-1`).

As the canonical graph has it: candidates are the first of a ranking by logit, equal ones by number;
of equal sums the least token is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probatum.canon.evaluate.noise import compute_noise, compute_words
from probatum.canon.evaluate.workspace import Scratch
from probatum.canon.primitives.maps.noise import derive_noise_key
from probatum.runtime.text.steps import Floats

__all__ = ["Rule", "choose_token", "list_candidates", "make_rule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How the tokens of one answer are chosen.

    Attributes:
        temperature: A finite float32, not negative.
        top_k: Candidates at each place.
        key: Of the answer's noise (`derive_noise_key`).
    """

    temperature: np.float32
    top_k: int
    key: bytes


def make_rule(*, temperature: float, top_k: int, choice: int, nonce: bytes) -> Rule:
    """Make a rule of what a request states; the temperature is rounded to float32."""
    key = derive_noise_key(nonce, choice)
    return Rule(temperature=np.float32(temperature), top_k=top_k, key=key)


def choose_token(logits: Floats, rule: Rule, place: int) -> int:
    """Choose one token.

    Args:
        logits: [V], finite.
        rule: How.
        place: Of the token in the answer, from 0.
    """
    tokens = list_candidates(logits, rule.top_k)
    places = np.full(len(tokens), place, np.int64)
    noise = compute_noise(compute_words(rule.key, places, tokens), Scratch())
    with np.errstate(all="ignore"):
        merits = logits[tokens] + rule.temperature * noise
    return int(tokens[merits == merits.max()].min())


def list_candidates(logits: Floats, count: int) -> NDArray[np.int64]:
    """List the tokens of the greatest logits, of equal ones the least, in no order.

    Args:
        logits: [V], finite.
        count: At most V.
    """
    # Greater ones are fewer than `count`; of those equal to the last the first ones fill up.
    least = np.partition(logits, len(logits) - count)[len(logits) - count]
    above = np.flatnonzero(logits > least)
    level = np.flatnonzero(logits == least)[: count - len(above)]
    return np.concatenate((above, level)).astype(np.int64)
