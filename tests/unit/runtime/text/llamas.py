"""Small llamas with random weights, their files, and what the canonical graph makes of a text."""

from __future__ import annotations

import gguf
import msgspec
import numpy as np

from probatum.canon.expand.language.blocks import WeightForm, decode_blocks, describe_weight
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

BLOCKY = msgspec.structs.replace(TINY, width=64, head_width=16, hidden=96)
"""Its matrices can be stored in blocks of 32."""


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


def quantise(text, weights, choose):
    """Store weights in blocks, and as the float32 that these stand for.

    `choose` gives the form of each spec; returned are the tensors of a file, and weights.
    """
    stored, decoded = [], []
    for spec, (name, array) in zip(list_llama_weights(text), weights, strict=True):
        form = choose(spec)
        name_there, kind, shape = describe_weight(spec, form)
        kept = array
        if form is not WeightForm.FLOAT32:
            kept = gguf.quants.quantize(array, gguf.GGMLQuantizationType[form.name])
        stored.append((name_there, kind, shape, kept))
        decoded.append((name, decode_blocks(form, kept.view(np.uint8)).reshape(array.shape)))
    return stored, decoded


def choose_forms(spec):
    """Choose as the usual files do: Q8_0 for the embedding, Q4_1 for all other matrices."""
    if len(spec.shape) == 1 or spec.name.startswith("rope."):
        return WeightForm.FLOAT32
    return WeightForm.Q8_0 if "embed" in spec.name else WeightForm.Q4_1


def write_stored(path, stored):
    """Write a file of tensors of several kinds."""
    head = encode_head([(name, kind, shape) for name, kind, shape, _ in stored])
    path.write_bytes(head + b"".join(array.tobytes() for *_, array in stored))
    return path
