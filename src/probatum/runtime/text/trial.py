"""Whether a kernel computes what numpy does, tried on hostile samples before it is trusted.

A compiler or a processor may be at fault, where the C pages are not. Read `pure`, `compiled`.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from probatum.canon.expand.language.blocks import BLOCK_TERMS, WeightForm
from probatum.protocol.manifests import TextModel
from probatum.runtime.text.cache import KeyValueCache
from probatum.runtime.text.matrices import AnyMatrix
from probatum.runtime.text.matrices import make_matrix as make_stored
from probatum.runtime.text.steps import Floats, Heads, Kernel, Network, Part
from probatum.runtime.text.weights import Layer

__all__ = ["BLOCK_FORMS", "draw_blocks", "draw_hostile", "find_difference", "make_matrix"]

_EPSILON: Final = np.float32(1e-5)
_SEED: Final = 20_240_229
_SHAPES: Final = ((1, 24, 200), (2, 37, 97), (5, 64, 100), (17, 130, 13))
"""Rows, terms and columns of products."""
_SIZES: Final = TextModel(
    architecture="llama",
    layers=1,
    width=1,
    heads=4,
    kv_heads=2,
    head_width=20,
    hidden=1,
    vocabulary=1,
    context=64,
    norm_epsilon_bits=1,
    is_tied=True,
    stop_ids=(0,),
    rule="GUMBEL-1",
    top_k=1,
)
"""Only caches are made of it."""
_NETWORK: Final = msgspec.structs.replace(
    _SIZES, layers=2, width=27, head_width=6, hidden=37, vocabulary=41
)
"""Of a model that is read whole."""


def draw_hostile(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> Floats:
    """Draw values of a kind that arithmetic gets wrong easily.

    Args:
        rng: Where from.
        shape: How many.
        kind: plain, small-integers (ties, exact zeros), wide (all exponents), tiny (subnormal),
            huge (overflow), cancelling or zeros (of both signs).
    """
    plain = rng.standard_normal(shape)
    match kind:
        case "small-integers":
            plain = rng.integers(-4, 5, shape) / 4
        case "wide":
            plain = plain * 2.0 ** rng.integers(-140, 120, shape)
        case "tiny":
            plain = plain * 2.0**-140
        case "huge":
            plain = plain * 2.0**124
        case "cancelling":
            plain[..., 1::2] = -plain[..., : shape[-1] // 2 * 2 : 2][..., : shape[-1] // 2]
            plain[..., ::7] *= 1 + 2.0**-20
        case "zeros":
            plain = np.where(rng.random(shape) < 0.5, -0.0, 0.0)
        case _:
            pass
    with np.errstate(over="ignore"):
        return plain.astype(np.float32)


KINDS: Final = ("plain", "small-integers", "wide", "tiny", "huge", "cancelling", "zeros")


def make_matrix(rows: Floats) -> AnyMatrix:
    """Make a matrix of finite rows."""
    return make_stored(WeightForm.FLOAT32, rows)


BLOCK_FORMS: Final = (WeightForm.Q4_1, WeightForm.Q8_0)
"""The forms of which there are blocks."""
_BLOCK_SHAPES: Final = ((1, 2, 203), (5, 3, 97), (17, 1, 13))
"""Rows, blocks in a row, and columns of products."""


def draw_blocks(
    rng: np.random.Generator, form: WeightForm, rows: int, blocks: int, kind: str
) -> AnyMatrix:
    """Draw a matrix of blocks, with scales and offsets of a kind.

    Args:
        rng: Where from.
        form: Of the blocks.
        rows: Of the matrix.
        blocks: In each row.
        kind: As of `draw_hostile`; beyond a float16 they have its greatest size, or none.
    """
    made = rng.integers(0, 256, (rows, blocks, form.block_bytes), np.uint8)
    halves = 2 if form is WeightForm.Q4_1 else 1
    drawn = np.nan_to_num(draw_hostile(rng, (rows, blocks, halves), kind))
    if kind == "tiny":
        drawn *= np.float32(2.0**120)  # about the least that a float16 is
    most = float(np.finfo(np.float16).max)
    scales = np.clip(drawn, -most, most).astype("<f2")
    made[..., : 2 * halves] = scales.view(np.uint8)
    return make_stored(form, made.reshape(rows, blocks * form.block_bytes))


def find_difference(kernel: Kernel, other: Kernel) -> str | None:
    """Compute every step by both kernels, on samples: the first step that differs, or None."""
    rng = np.random.default_rng(_SEED)
    with np.errstate(all="ignore"):
        for kind in KINDS:
            for rows, terms, columns in _SHAPES:
                x = np.nan_to_num(draw_hostile(rng, (rows, terms), kind))
                w = np.nan_to_num(draw_hostile(rng, (columns, terms), kind))
                matrix = make_matrix(w)
                even = np.ascontiguousarray(x[:, : terms // 2 * 2])
                for step, pair in (
                    ("multiply", [_multiply(one, x, matrix) for one in (kernel, other)]),
                    ("norm", [one.norm(x, w[0], _EPSILON) for one in (kernel, other)]),
                    ("gate", [one.gate(even) for one in (kernel, other)]),
                ):
                    if not _are_equal(*pair):
                        return f"{step} of {kind} values"
            for form in BLOCK_FORMS:
                for rows, blocks, columns in _BLOCK_SHAPES:
                    x = np.nan_to_num(draw_hostile(rng, (rows, blocks * BLOCK_TERMS), kind))
                    matrix = draw_blocks(rng, form, columns, blocks, kind)
                    if not _are_equal(*[_multiply(one, x, matrix) for one in (kernel, other)]):
                        return f"multiply by {form.name} of {kind} values"
            for step, compute in (("attend", _attend), ("read", _read)):
                if not _are_equal(*[compute(one, kind) for one in (kernel, other)]):
                    return f"{step} of {kind} values"
    return None


def _multiply(kernel: Kernel, x: Floats, matrix: AnyMatrix) -> Floats:
    return kernel.multiply(x, matrix, np.zeros(len(x), np.int32))


def _attend(kernel: Kernel, kind: str) -> Floats:
    """Attend in two texts, one of which goes on; rows that were marked are left out."""
    rng = np.random.default_rng(_SEED)
    width, rows = _SIZES.head_width, 13
    heads = _draw_heads(rng, _SIZES)
    caches = [KeyValueCache(_SIZES, 40) for _ in range(2)]
    found = []
    for _ in range(2):
        projected = np.nan_to_num(draw_hostile(rng, (rows, 8 * width), kind))
        parts = (
            Part(cache=caches[0], begin=0, count=1),
            Part(cache=caches[1], begin=1, count=rows - 1),
        )
        marks = np.zeros(rows, np.int32)
        out = kernel.attend(projected, parts, 0, heads, marks)
        for part in parts:
            part.cache.length += part.count
            span = slice(part.begin, part.begin + part.count)
            found.append(np.full((1, 80), np.inf) if marks[span].any() else out[span])
    return np.concatenate(found).astype(np.float32)


def _read(kernel: Kernel, kind: str) -> Floats:
    """Read two texts by two small layers; texts that were marked are left out."""
    rng = np.random.default_rng(_SEED)
    network = _draw_network(rng, _NETWORK)
    x = np.nan_to_num(draw_hostile(rng, (6, _NETWORK.width), kind))
    parts = (
        Part(cache=KeyValueCache(_NETWORK, 9), begin=0, count=1),
        Part(cache=KeyValueCache(_NETWORK, 9), begin=1, count=5),
    )
    wanted, marks = np.array([0, 3, 5]), np.zeros(6, np.int32)
    logits = kernel.read(network, x, parts, wanted, marks)
    bad = np.array([marks[0], marks[1:].any(), marks[1:].any()]) != 0
    logits[bad] = 0
    return np.append(logits, bad).astype(np.float32)


def _draw_network(rng: np.random.Generator, sizes: TextModel) -> Network:
    """Draw a model of plain weights, the second of its layers with a bias."""

    def draw(*shape: int) -> Floats:
        return draw_hostile(rng, shape, "plain")

    across = (sizes.heads + 2 * sizes.kv_heads) * sizes.head_width
    layers = [
        Layer(
            attention_norm=draw(sizes.width),
            project=make_matrix(draw(across, sizes.width)),
            bias=draw(across) if number else None,
            merge=make_matrix(draw(sizes.width, sizes.heads * sizes.head_width)),
            feed_norm=draw(sizes.width),
            expand=make_matrix(draw(2 * sizes.hidden, sizes.width)),
            contract=make_matrix(draw(sizes.width, sizes.hidden)),
        )
        for number in range(sizes.layers)
    ]
    return Network(
        text=sizes,
        layers=tuple(layers),
        final_norm=draw(sizes.width),
        head=make_matrix(draw(sizes.vocabulary, sizes.width)),
        heads=_draw_heads(rng, sizes),
        epsilon=_EPSILON,
    )


def _draw_heads(rng: np.random.Generator, sizes: TextModel) -> Heads:
    angles = rng.random((sizes.context, sizes.head_width // 2)).astype(np.float32)
    return Heads(
        queries=sizes.heads,
        keys=sizes.kv_heads,
        width=sizes.head_width,
        scale=np.float32(0.3),
        cosines=angles,
        sines=-angles,
    )


def _are_equal(one: Floats, two: Floats) -> bool:
    """Compare bits; one NaN is as good as another."""
    same = (one.view(np.uint32) == two.view(np.uint32)) | (np.isnan(one) & np.isnan(two))
    return bool(same.all())
