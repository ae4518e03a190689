"""Blocks stand for the float32 that the format's own reference makes of them, bit for bit."""

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from probatum.canon.expand.language.blocks import (
    WeightForm,
    decode_blocks,
    describe_weight,
    group_weights,
    is_form_taken,
    match_weights,
)
from probatum.canon.expand.language.weights import list_llama_weights
from probatum.errors import Refusal
from probatum.protocol.safetensors import StoredTensor
from tests.unit.runtime.text.llamas import BLOCKY, TINY, choose_forms

HALVES = {WeightForm.Q4_1: 2, WeightForm.Q8_0: 1}


def refuse(why):
    return Refusal("test.wrong", why)


def equal_reference(form, blocks):
    found = decode_blocks(form, blocks)
    wanted = gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType[form.name])
    return found.dtype == np.float32 and found.tobytes() == wanted.astype("<f4").tobytes()


@pytest.mark.parametrize("form", HALVES)
def test_every_scale_that_is_finite_is_the_references(form):
    """All float16 as scales, offsets of every size, all codes: signs of zeros included."""
    rng = np.random.default_rng(0)
    every = np.arange(1 << 16, dtype="<u2")
    every = every[np.isfinite(every.view("<f2"))]
    blocks = rng.integers(0, 256, (len(every), form.block_bytes), np.uint8)
    blocks[:, :2] = every.view(np.uint8).reshape(-1, 2)
    if form is WeightForm.Q4_1:
        blocks[:, 2:4] = rng.permutation(every).view(np.uint8).reshape(-1, 2)
    assert equal_reference(form, blocks)
    assert equal_reference(form, blocks[:63_000].reshape(-1, 3 * form.block_bytes))


@pytest.mark.parametrize("form", HALVES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_bytes_are_decoded_as_the_reference_does(form, data):
    blocks = data.draw(arrays(np.uint8, (3, 2 * form.block_bytes)))
    with np.errstate(all="ignore"):
        found = decode_blocks(form, blocks)
        wanted = gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType[form.name])
    assert np.array_equal(found, wanted, equal_nan=True)
    halves = blocks.reshape(3, 2, -1)[..., : 2 * HALVES[form]].copy().view("<f2")
    is_good = np.isfinite(halves).all(axis=-1)
    assert (np.isfinite(found).reshape(3, 2, 32).all(axis=-1) == is_good).all()


def test_float32_is_what_it_is():
    values = np.array([[1.5, -0.0, 3e-42]], np.float32)
    decoded = decode_blocks(WeightForm.FLOAT32, values.view(np.uint8))
    assert decoded.tobytes() == values.tobytes()


def list_stored(text, choose, begin=0):
    found = []
    for spec in list_llama_weights(text):
        name, dtype, shape = describe_weight(spec, choose(spec))
        found.append(StoredTensor(name=name, dtype=dtype, shape=shape, begin=begin, size=0))
    return found


def test_forms_are_told_by_names_and_shapes():
    specs = list_llama_weights(BLOCKY)
    found = match_weights(BLOCKY, list_stored(BLOCKY, choose_forms), refuse)
    assert found == tuple(choose_forms(spec) for spec in specs)
    assert describe_weight(specs[0], WeightForm.Q8_0) == (
        "model.embed_tokens.weight.Q8_0",
        "U8",
        (67, 68),
    )
    plain = match_weights(TINY, list_stored(TINY, lambda _: WeightForm.FLOAT32), refuse)
    assert set(plain) == {WeightForm.FLOAT32}


def test_groups_are_all_weights_in_order():
    groups = group_weights(BLOCKY)
    assert tuple(spec for group in groups for spec in group) == list_llama_weights(BLOCKY)
    assert sorted({len(group) for group in groups}) == [1, 2, 3]
    assert sum(len(group) > 1 for group in groups) == 2 * BLOCKY.layers


def test_blocks_fill_the_rows_of_matrices_alone():
    assert is_form_taken(WeightForm.FLOAT32, (3,))
    assert not is_form_taken(WeightForm.Q4_1, (32,))
    assert not is_form_taken(WeightForm.Q4_1, (2, 33))
    assert is_form_taken(WeightForm.Q8_0, (2, 64))


def one_other(part, form):
    return lambda spec: form if f".{part}." in spec.name else choose_forms(spec)


@pytest.mark.parametrize("part", ["k_proj", "v_proj", "up_proj"])
def test_what_is_read_as_one_has_one_form(part):
    stored = list_stored(BLOCKY, one_other(part, WeightForm.FLOAT32))
    with pytest.raises(Refusal, match="several forms"):
        match_weights(BLOCKY, stored, refuse)
    alone = list_stored(BLOCKY, one_other("down_proj", WeightForm.Q8_0))
    assert WeightForm.Q8_0 in match_weights(BLOCKY, alone, refuse)[1:]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "model.embed_tokens.weight"),
        ("name", "model.embed_tokens.weight.Q4_1"),
        ("name", "model.embed_tokens.weight.FLOAT32"),
        ("dtype", "I8"),
        ("shape", (67, 64)),
        ("begin", 2),
    ],
)
def test_other_names_types_shapes_and_places_are_refused(field, value):
    stored = list_stored(BLOCKY, choose_forms)
    facts = {name: getattr(stored[0], name) for name in StoredTensor.__dataclass_fields__}
    stored[0] = StoredTensor(**facts | {field: value})
    with pytest.raises(Refusal):
        match_weights(BLOCKY, stored, refuse)


def test_fewer_and_more_are_refused():
    stored = list_stored(BLOCKY, choose_forms)
    for some in (stored[:-1], [*stored, stored[-1]]):
        with pytest.raises(Refusal, match="tensors, and should be"):
            match_weights(BLOCKY, some, refuse)
