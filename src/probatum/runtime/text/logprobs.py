"""How likely the model holds each token: log-softmax of its logits over the whole vocabulary.

Of the model's own distribution: before temperature, candidates and noise. Logits are exact; the
sum of powers is not: it is computed in float64 and rounded to float32 at the end, so that two
machines may differ in the last bit. That changes no token: nothing here is read by the rule.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from probatum.protocol.logprobs import TokenLogprobs
from probatum.runtime.text.sampling import list_candidates
from probatum.runtime.text.steps import Floats

__all__ = ["compute_logprobs"]

_LEAST: Final = float(np.finfo(np.float32).min)


def compute_logprobs(logits: Floats, token: int, top: int) -> TokenLogprobs:
    """Compute what is said of one place.

    Args:
        logits: [V], finite.
        token: The one that stands there.
        top: How many of the likeliest are wanted beside it; of equal ones the least first.
    """
    powers = logits.astype(np.float64)
    powers -= powers.max()
    least = np.log(np.exp(powers).sum())
    likeliest = list_candidates(logits, min(top, len(logits))) if top else np.empty(0, np.int64)
    ranked = likeliest[np.lexsort((likeliest, -logits[likeliest]))]
    # Never positive: the sum has the greatest power, which is 1. Far logits would overflow.
    found = np.maximum(powers[np.append(ranked, token)] - least, _LEAST).astype(np.float32)
    *others, chosen = (float(one) for one in found)
    pairs = zip((int(one) for one in ranked), others, strict=True)
    return TokenLogprobs(chosen=chosen, top=tuple(pairs))
