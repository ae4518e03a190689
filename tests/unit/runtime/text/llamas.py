"""Small llamas with random weights, their files, and what the canonical graph makes of a text."""

from __future__ import annotations

import numpy as np

from probatum.canon.expand.language.weights import list_llama_weights
from probatum.protocol.manifests import TextModel
from probatum.protocol.safetensors import encode_head

TINY = TextModel(
    architecture="llama",
    layers=2,
    width=24,
    heads=4,
    kv_heads=2,
    head_width=6,
    hidden=40,
    vocabulary=67,
    context=96,
    norm_epsilon_bits=int(np.float32(1e-5).view(np.uint32)),
    is_tied=True,
    stop_ids=(2,),
    rule="GUMBEL-1",
    top_k=16,
)


def draw_weights(text, seed=0, scale=1.0):
    """Draw a model's weights, in the file's order."""
    rng = np.random.default_rng(seed)
    angles = np.outer(
        np.arange(text.context),
        10_000.0 ** (-2 * np.arange(text.head_width // 2) / text.head_width),
    )
    found = []
    for spec in list_llama_weights(text):
        if spec.name.startswith("rope."):
            array = (np.cos if spec.name.endswith("cos") else np.sin)(angles)
        elif len(spec.shape) == 1:
            array = 1 + 0.1 * rng.standard_normal(spec.shape)
        else:
            array = scale * rng.standard_normal(spec.shape) / spec.shape[1] ** 0.5
        found.append((spec.name, array.astype(np.float32)))
    return found


def write_weights(path, weights):
    """Write a file of weights."""
    head = encode_head([(name, "F32", array.shape) for name, array in weights])
    path.write_bytes(head + b"".join(array.astype("<f4").tobytes() for _, array in weights))
    return path
