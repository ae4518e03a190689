"""MiniLM as the recipe builds it: the graph computes what its authors' library does."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import onnx
import onnxruntime
import pytest
from tokenizers import Tokenizer

from models import fetch, minilm


@pytest.fixture(scope="module")
def folder(find_model):
    return find_model("all-minilm-l6-v2")


@pytest.fixture(scope="module")
def embed(folder):
    session = onnxruntime.InferenceSession((folder / "model.onnx").read_bytes())
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding()

    def embed(*sentences):
        found = tokenizer.encode_batch(list(sentences))
        ids = np.array([each.ids for each in found])
        mask = np.array([each.attention_mask for each in found])
        return session.run(None, {"input_ids": ids, "attention_mask": mask})[0]

    return embed


def test_the_file_is_the_one_that_the_recipe_states(folder):
    recipe = fetch.load_recipes()["all-minilm-l6-v2"]
    assert fetch.is_complete(recipe, folder)
    stated = json.loads((folder / "PROVENANCE.json").read_bytes())["made"]["model.onnx"]
    assert hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest() == stated["sha256"]


def test_the_published_example_comes_out(embed):
    """The example in the documentation of sentence-transformers: 0.7553."""
    eats, bread, market = embed(
        "A man is eating food.", "A man is eating a piece of bread.", "The stock market fell today."
    )
    assert eats @ bread == pytest.approx(0.7553, abs=5e-5)
    assert abs(eats @ market) < 0.05


def test_embeddings_have_length_1_and_padding_changes_nothing(embed):
    alone = embed("Rain is expected.")
    beside = embed("Rain is expected.", "a longer sentence " * 20)
    assert np.linalg.norm(beside, axis=1) == pytest.approx([1, 1], abs=1e-5)
    np.testing.assert_allclose(alone[0], beside[0], atol=2e-6)


def test_a_mask_of_nothing_is_no_division_by_zero(folder):
    session = onnxruntime.InferenceSession((folder / "model.onnx").read_bytes())
    ids = np.zeros((1, 4), np.int64)
    (found,) = session.run(None, {"input_ids": ids, "attention_mask": ids})
    assert np.isfinite(found).all()


def make_safetensors(shapes):
    """Weights of the right shapes: small random numbers from a fixed seed."""
    draw = np.random.default_rng(1)
    table, data = {"__metadata__": {"format": "pt"}}, b""
    for name, shape in shapes.items():
        raw = (draw.standard_normal(shape) * 0.05).astype("<f4").tobytes()
        offsets = [len(data), len(data) + len(raw)]
        table[name] = {"dtype": "F32", "shape": shape, "data_offsets": offsets}
        data += raw
    head = json.dumps(table).encode()
    return len(head).to_bytes(8, "little") + head + data


def list_shapes(words):
    width = minilm.WIDTH
    shapes = {
        "embeddings.word_embeddings.weight": [words, width],
        "embeddings.position_embeddings.weight": [minilm.POSITIONS, width],
        "embeddings.token_type_embeddings.weight": [2, width],
    }
    linear, norm = {}, ["embeddings.LayerNorm"]
    for number in range(minilm.LAYERS):
        at = f"encoder.layer.{number}"
        linear |= {
            f"{at}.attention.self.{part}": (width, width) for part in ("query", "key", "value")
        }
        linear |= {f"{at}.attention.output.dense": (width, width)}
        linear |= {f"{at}.intermediate.dense": (4 * width, width)}
        linear |= {f"{at}.output.dense": (width, 4 * width)}
        norm += [f"{at}.attention.output.LayerNorm", f"{at}.output.LayerNorm"]
    for name, (rows, columns) in linear.items():
        shapes |= {f"{name}.weight": [rows, columns], f"{name}.bias": [rows]}
    for name in norm:
        shapes |= {f"{name}.weight": [width], f"{name}.bias": [width]}
    return shapes


def test_the_recipe_makes_a_sound_graph_and_the_same_bytes_twice():
    weights = make_safetensors(list_shapes(words=11))
    made = minilm.make({"model.safetensors": weights})
    assert made == minilm.make({"model.safetensors": weights})
    model = onnx.load_from_string(made["model.onnx"])
    onnx.checker.check_model(model, full_check=True)
    kinds = [node.op_type for node in model.graph.node]
    assert (kinds.count("LayerNormalization"), kinds.count("Gelu")) == (13, 6)
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    ins = {"input_ids": ["n", "s"], "attention_mask": ["n", "s"]}
    assert shapes == {**ins, "embedding": ["n", 384]}
