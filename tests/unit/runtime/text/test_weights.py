import contextlib
import json

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probatum.errors import Fault, Refusal
from probatum.runtime.text.weights import open_weights
from tests.unit.runtime.text.llamas import (
    BLOCKY,
    TINY,
    choose_forms,
    draw_weights,
    quantise,
    write_stored,
    write_weights,
)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return write_weights(
        tmp_path_factory.mktemp("weights") / "model.safetensors", draw_weights(TINY)
    )


def refused(path, text=TINY):
    with pytest.raises(Refusal) as caught:
        open_weights(path, text)
    return caught.value.code


@pytest.mark.parametrize("copied", [False, True])
def test_weights_are_seen_where_they_lie(good, copied):
    tensors = dict(draw_weights(TINY))
    with open_weights(good, TINY, copied=copied) as weights:
        prefix = "model.layers.1."
        queries = tensors[prefix + "self_attn.q_proj.weight"]
        joined = weights.layers[1].project
        assert (joined.rows[: len(queries)] == queries).all()
        assert (joined.rows[-12:] == tensors[prefix + "self_attn.v_proj.weight"]).all()
        assert (weights.layers[1].expand.rows[40:] == tensors[prefix + "mlp.up_proj.weight"]).all()
        assert np.allclose(joined.norms, np.linalg.norm(joined.rows.astype(float), axis=1))
        assert weights.head is weights.embedding
        assert not joined.rows.flags.writeable
        assert weights.file_bytes == good.stat().st_size


def test_an_untied_model_has_a_head(tmp_path):
    text = msgspec.structs.replace(TINY, is_tied=False)
    tensors = draw_weights(text)
    with open_weights(write_weights(tmp_path / "m", tensors), text) as weights:
        assert (weights.head.rows == dict(tensors)["lm_head.weight"]).all()


def test_other_sizes_names_orders_and_types_are_refused(good, tmp_path):
    assert refused(good, msgspec.structs.replace(TINY, hidden=41)) == "text.wrong-weights"
    assert refused(good, msgspec.structs.replace(TINY, layers=1)) == "text.wrong-weights"
    assert refused(good, msgspec.structs.replace(TINY, is_tied=False)) == "text.wrong-weights"
    tensors = draw_weights(TINY)
    tensors[1], tensors[6] = tensors[6], tensors[1]
    assert refused(write_weights(tmp_path / "swapped", tensors)) == "text.wrong-weights"
    assert refused(write_weights(tmp_path / "fewer", tensors[:-1])) == "text.wrong-weights"
    data = good.read_bytes().replace(b"F32", b"I32")
    (tmp_path / "integers").write_bytes(data)
    assert refused(tmp_path / "integers") == "text.wrong-weights"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(tmp_path, value):
    tensors = draw_weights(TINY)
    tensors[5][1][3, 2] = value
    assert refused(write_weights(tmp_path / "m", tensors)) == "text.wrong-weights"


@pytest.mark.parametrize("copied", [False, True])
def test_blocks_stay_blocks_and_stand_for_float32(tmp_path, copied):
    stored, decoded = quantise(BLOCKY, draw_weights(BLOCKY), choose_forms)
    tensors = dict(decoded)
    path = write_stored(tmp_path / "m", stored)
    assert path.stat().st_size < write_weights(tmp_path / "f", decoded).stat().st_size / 3
    prefix = "model.layers.1."
    with (
        open_weights(path, BLOCKY, copied=copied) as weights,
        open_weights(tmp_path / "f", BLOCKY) as floats,
    ):
        project = weights.layers[1].project
        assert project.blocks.dtype == np.uint8
        assert not project.blocks.flags.writeable
        whole = project.read(np.arange(len(project.norms)))
        assert (whole == floats.layers[1].project.rows).all()
        wide = np.empty((5, BLOCKY.width))
        weights.layers[1].expand.widen(94, 99, wide)
        assert (wide[2:] == tensors[prefix + "mlp.up_proj.weight"][:3]).all()
        for one in ("project", "merge", "expand", "contract"):
            mine, theirs = getattr(weights.layers[0], one), getattr(floats.layers[0], one)
            assert (mine.norms == theirs.norms).all()
        assert weights.head is weights.embedding
        places = np.array([5, 66, 5])
        found = weights.embedding.read(places)
        assert (found == tensors["model.embed_tokens.weight"][places]).all()


@pytest.mark.parametrize("scale", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize(("number", "at"), [(0, 0), (2, 0), (2, 2), (8, 22)])
def test_scales_that_are_not_finite_are_refused(tmp_path, scale, number, at):
    """Even where all that they multiply is zero."""
    stored, _ = quantise(BLOCKY, draw_weights(BLOCKY), choose_forms)
    blocks = stored[number][3]
    blocks[-1] = 0
    blocks[-1, at : at + 2] = np.array([scale], "<f2").view(np.uint8)
    assert refused(write_stored(tmp_path / "m", stored), BLOCKY) == "text.wrong-weights"


def test_a_head_that_ends_at_an_odd_byte_is_refused(good, tmp_path):
    data = good.read_bytes()
    size = int.from_bytes(data[:8], "little")
    head = json.dumps(json.loads(data[8 : 8 + size])).encode()
    head += b" " * (1 + -len(head) % 4)
    (tmp_path / "m").write_bytes(len(head).to_bytes(8, "little") + head + data[8 + size :])
    assert refused(tmp_path / "m") == "text.wrong-weights"


def test_a_missing_file_is_a_fault(tmp_path):
    with pytest.raises(Fault) as caught:
        open_weights(tmp_path / "none", TINY)
    assert caught.value.code == "text.disk"


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_files_are_refused_and_nothing_else(good, tmp_path_factory, data):
    """A changed head is refused, unless it says the same; another length always is."""
    whole = bytearray(good.read_bytes())
    size = int.from_bytes(whole[:8], "little")
    at = data.draw(st.integers(0, 8 + size - 1))
    path = tmp_path_factory.mktemp("damaged") / "m"
    kind = data.draw(st.sampled_from(["flip", "cut", "grow"]))
    if kind == "flip":
        whole[at] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del whole[at:]
    else:
        whole += data.draw(st.binary(min_size=1, max_size=9))
    path.write_bytes(whole)
    with contextlib.suppress(Refusal):
        open_weights(path, TINY).close()
        assert kind == "flip"
