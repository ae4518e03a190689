"""How a token is chosen of logits, and when an answer has ended, as primitives (`TEXT-1`).

Must not know what the logits are of.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probatum.canon.expand.builder import Builder
from probatum.canon.expand.values import Value, get_type, make_known, make_sizes
from probatum.protocol.manifests import TextModel

__all__ = ["Rule", "emit_choice", "emit_end"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a request says of choosing.

    Attributes:
        temperature: float32[1].
        top_k: int64[1], candidates.
        choice: int64[1], number of the answer among those of a request.
        nonce: int64[4].
    """

    temperature: Value
    top_k: Value
    choice: Value
    nonce: Value


def emit_choice(build: Builder, text: TextModel, logits: Value, rule: Rule) -> Value:
    """Emit the token chosen in each row: the greatest of logit and noise, the least of equals.

    Where no candidate is the greatest, for one is NaN, the vocabulary's size stands, which is no
    token.

    Args:
        build: Where to.
        text: Vocabulary and candidates at most.
        logits: float32 [a, V].
        rule: How.
    """
    emit = build.emit
    rows = get_type(logits).shape[0]
    tokens = emit("TopK", logits, k=text.top_k, largest=1)
    values = emit("GatherElements", logits, tokens, axis=1)
    places = emit("Iota", dtype="int64", start=0, step=1, shape=(rows,))
    places = emit("Reshape", places, shape=(rows, 1))
    noise = emit("Gumbel", rule.nonce, rule.choice, places, tokens)
    merits = emit("Add", values, emit("Mul", rule.temperature, noise))
    ranks = emit("Iota", dtype="int64", start=0, step=1, shape=(text.top_k,))
    stays = emit("Less", ranks, rule.top_k)
    merits = emit("Where", stays, merits, make_known("float32", -np.inf))
    best = emit("And", emit("Equal", merits, emit("ReduceMax", merits)), stays)
    found = emit("Where", best, tokens, make_known("int64", text.vocabulary))
    return emit("Reshape", emit("ReduceMin", found), shape=(rows,))


def emit_end(build: Builder, text: TextModel, answer: Value, limit: Value) -> Value:
    """Emit whether an answer has ended: the last token stops or is the last, and none before stops.

    Args:
        build: Where to.
        text: The stop tokens.
        answer: int64 [a].
        limit: int64 [1].
    """
    emit = build.emit
    (length,) = get_type(answer).shape
    stops = make_known("int64", text.stop_ids)
    equal = emit("Equal", emit("Reshape", answer, shape=(length, 1)), stops)
    hits = emit("ReduceMax", emit("Cast", equal, dtype="int64"))
    hits = emit("Reshape", hits, shape=(length,))
    before = emit("Slice", hits, starts=0, steps=1, shape=(length - 1,))
    none = emit("Equal", emit("ReduceSum", before), make_known("int64", [0]))
    last = emit("Slice", hits, starts=(length - 1,), steps=1, shape=(1,))
    is_full = emit("Equal", make_sizes((length,)), limit)
    return emit("And", none, emit("Or", emit("Cast", last, dtype="bool"), is_full))
