"""One model, stored by other programs in several ways, makes one package (`TEXT-1`)."""

import json
import shutil
import time
from dataclasses import replace

import gguf
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from probatum.errors import Refusal
from probatum.hub.canonical import read_graph
from probatum.hub.importing.gguf_file import read_gguf
from probatum.hub.importing.hf_folder import read_folder
from probatum.hub.importing.rope import make_rope_tables
from probatum.hub.importing.writing import ImportFacts, write_text_package
from probatum.hub.package import load_package
from probatum.hub.texts import check_text_meaning, compute_weight_roots
from probatum.protocol.safetensors import decode_head
from probatum.runtime.text.weights import open_weights
from tests.unit.hub.importing.foreign_models import (
    CONTEXT,
    HEADS,
    TEMPLATE,
    TOKENS,
    make_weights,
    pair_rows,
    write_folder,
    write_gguf,
)

FACTS = ImportFacts(name="tiny", version="1", licence="MIT", description="", context=CONTEXT)


def write(source, folder, facts=FACTS):
    return write_text_package(source, facts, folder, lambda _done, _total: None)


@pytest.fixture
def package(tmp_path):
    folder = write_folder(tmp_path / "hf", make_weights())
    return write(read_folder(folder, top_k=8), tmp_path / "package")


def test_a_folder_and_a_gguf_file_make_the_same_weights(tmp_path, package):
    source = read_gguf(write_gguf(tmp_path / "tiny.gguf", make_weights()), top_k=8)
    assert source.template == TEMPLATE
    other = write(source, tmp_path / "other")
    assert other.manifest.canonical == package.manifest.canonical
    assert other.manifest.text == package.manifest.text
    stored = safetensors.numpy.load_file(package.folder / "model.safetensors")
    for name, weight in make_weights().items():
        assert np.array_equal(stored[name], weight)


def test_the_same_source_makes_the_same_package(tmp_path, package):
    again = write(read_folder(tmp_path / "hf", top_k=8), tmp_path / "again")
    assert again.digest == package.digest


def test_a_package_is_what_its_weights_make(package):
    check_text_meaning(package)
    graph = read_graph(load_package(package.folder))
    assert [one.name for one in graph.outputs] == ["chosen", "ended"]


def test_changed_weights_make_another_meaning(tmp_path, package):
    other = write(
        read_folder(write_folder(tmp_path / "hf2", make_weights(seed=1)), top_k=8), tmp_path / "b"
    )
    shutil.copy(other.folder / "model.safetensors", package.folder / "model.safetensors")
    with pytest.raises(Refusal) as caught:
        check_text_meaning(package)
    assert caught.value.code == "package.other-canonical"


@pytest.mark.parametrize("dtype", [np.float16, "bfloat16"])
def test_narrow_weights_are_widened_exactly(tmp_path, dtype):
    wide = {
        name: (weight.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
        if dtype == "bfloat16"
        else weight.astype(np.float16).astype(np.float32)
        for name, weight in make_weights().items()
    }
    save = _save_bfloat16 if dtype == "bfloat16" else _save_float16
    folder = write_folder(tmp_path / "hf", wide, save=save)
    package = write(read_folder(folder, top_k=8), tmp_path / "package")
    stored = safetensors.numpy.load_file(package.folder / "model.safetensors")
    for name, weight in wide.items():
        assert np.array_equal(stored[name], weight)


def _save_float16(weights, path):
    safetensors.numpy.save_file({k: w.astype(np.float16) for k, w in weights.items()}, path)


def _save_bfloat16(weights, path):
    narrow = {k: w.astype(ml_dtypes.bfloat16) for k, w in weights.items()}
    safetensors.numpy.save_file(narrow, path)


def test_sharded_folders_are_read(tmp_path, package):
    weights = make_weights()
    folder = write_folder(tmp_path / "shards", weights)
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for shard, held in halves.items():
        safetensors.numpy.save_file({name: weights[name] for name in held}, folder / shard)
    index = {"weight_map": {name: shard for shard, held in halves.items() for name in held}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    other = write(read_folder(folder, top_k=8), tmp_path / "other")
    assert other.manifest.canonical == package.manifest.canonical


def test_quantised_weights_are_what_the_format_says(tmp_path):
    kind = gguf.GGMLQuantizationType.Q8_0

    def quantise(weight):
        if weight.shape[1] % 32:
            return weight, None
        return gguf.quants.quantize(weight, kind), kind

    weights = make_weights()
    source = read_gguf(write_gguf(tmp_path / "q.gguf", weights, quantise=quantise), top_k=8)
    name = "model.layers.0.self_attn.q_proj.weight"
    (found,) = source.weights[name].read()
    stored = gguf.quants.quantize(pair_rows(weights[name], HEADS), kind)
    assert np.array_equal(pair_rows(found, HEADS), gguf.quants.dequantize(stored, kind))
    write(source, tmp_path / "package")


def quantise_as(**kinds):
    """Store matrices whose rows are whole blocks in a kind; by number, in the file's order."""
    count = iter(range(1000))

    def quantise(weight):
        kind = kinds.get(f"at_{next(count)}", kinds["others"])
        if kind is None or weight.shape[1] % 32:
            return weight, None
        kind = gguf.GGMLQuantizationType[kind]
        return gguf.quants.quantize(weight, kind), kind

    return quantise


def list_kinds(package):
    stored = safetensors.numpy.load_file(package.folder / "model.safetensors")
    return {name: array.dtype == np.uint8 for name, array in stored.items()}


@pytest.mark.parametrize("kind", ["Q4_1", "Q8_0"])
def test_blocks_are_kept_and_mean_the_same(tmp_path, kind):
    """Rows of queries and keys are put in order, whole blocks with them."""
    quantise = quantise_as(others=kind)
    path = write_gguf(tmp_path / "q.gguf", make_weights(), quantise=quantise)
    floats = write(read_gguf(path, top_k=8), tmp_path / "floats")
    told = []
    kept = write_text_package(
        read_gguf(path, top_k=8),
        FACTS,
        tmp_path / "kept",
        lambda done, total: told.append((done, total)),
        keeps_blocks=True,
    )
    assert kept.manifest.canonical == floats.manifest.canonical
    assert kept.manifest.text == floats.manifest.text
    assert kept.digest != floats.digest
    check_text_meaning(kept)
    kinds = list_kinds(kept)
    assert kinds[f"model.layers.1.self_attn.q_proj.weight.{kind}"]
    assert kinds[f"model.layers.0.mlp.up_proj.weight.{kind}"]
    assert not kinds["model.layers.0.mlp.down_proj.weight"]  # its rows are no whole blocks
    # What lies behind an odd number of pairs of bytes could be no float32.
    assert ("model.embed_tokens.weight" in kinds) == (kind == "Q8_0" and len(TOKENS) % 2 == 1)
    assert told[-1][0] == told[-1][1]
    with open_weights(kept.folder / "model.safetensors", kept.manifest.text) as weights:
        stored = safetensors.numpy.load_file(floats.folder / "model.safetensors")
        rows = weights.layers[1].project.read(np.arange(64))
        names = [f"model.layers.1.self_attn.{part}_proj.weight" for part in "qkv"]
        assert (rows == np.concatenate([stored[name] for name in names])).all()


def test_neighbours_of_several_kinds_become_float32(tmp_path):
    quantise = quantise_as(others="Q4_1", at_3="Q8_0")
    path = write_gguf(tmp_path / "q.gguf", make_weights(), quantise=quantise)
    source = read_gguf(path, top_k=8)
    kept = write_text_package(
        source, FACTS, tmp_path / "kept", lambda _done, _total: None, keeps_blocks=True
    )
    kinds = list_kinds(kept)
    for part in "qkv":
        assert not kinds[f"model.layers.0.self_attn.{part}_proj.weight"]
        assert kinds[f"model.layers.1.self_attn.{part}_proj.weight.Q4_1"]
    assert kinds["model.layers.0.self_attn.o_proj.weight.Q4_1"]
    assert kept.manifest.canonical == write(source, tmp_path / "floats").manifest.canonical


@pytest.mark.parametrize("others", [None, "Q4_0"])
def test_a_file_without_such_blocks_keeps_none(tmp_path, others):
    path = write_gguf(tmp_path / "q", make_weights(), quantise=quantise_as(others=others))
    with pytest.raises(Refusal) as caught:
        write_text_package(
            read_gguf(path, top_k=8),
            FACTS,
            tmp_path / "kept",
            lambda _done, _total: None,
            keeps_blocks=True,
        )
    assert caught.value.code == "import.unsupported-model"
    assert "--keep-blocks" in caught.value.hint
    assert not (tmp_path / "kept").exists()


def test_scales_that_are_not_finite_are_refused(tmp_path):
    """By the importer, and by who checks a package whose publisher wrote it otherwise."""
    source = read_gguf(
        write_gguf(tmp_path / "q", make_weights(), quantise=quantise_as(others="Q8_0")), top_k=8
    )
    write_text_package(
        source, FACTS, tmp_path / "kept", lambda _done, _total: None, keeps_blocks=True
    )
    file = tmp_path / "kept" / "model.safetensors"
    data = bytearray(file.read_bytes())
    size = 8 + int.from_bytes(data[:8], "little")
    stored = decode_head(bytes(data[8:size]), len(data))
    at = next(one.begin for one in stored if one.name.endswith("1.mlp.up_proj.weight.Q8_0"))
    data[at : at + 2] = np.array([np.inf], "<f2").tobytes()
    file.write_bytes(data)
    with pytest.raises(Refusal) as caught:
        compute_weight_roots(source.text, file)
    assert caught.value.code == "package.wrong-weights"

    name = "model.layers.0.mlp.gate_proj.weight"
    bad = np.concatenate(list(source.weights[name].read_blocks()))
    bad[3, :2] = 0xFF
    weights = {**source.weights, name: replace(source.weights[name], read_blocks=lambda: [bad])}
    with pytest.raises(Refusal, match="not finite"):
        write_text_package(
            replace(source, weights=weights),
            FACTS,
            tmp_path / "bad",
            lambda _done, _total: None,
            keeps_blocks=True,
        )


def test_an_untied_head_is_a_weight_of_its_own(tmp_path):
    weights = make_weights(tied=False)
    folder = write(read_folder(write_folder(tmp_path / "hf", weights), top_k=8), tmp_path / "a")
    file = write(read_gguf(write_gguf(tmp_path / "a.gguf", weights), top_k=8), tmp_path / "b")
    assert folder.manifest.canonical == file.manifest.canonical
    assert not folder.manifest.text.is_tied


def test_tables_are_cosines_and_sines():
    cosines, sines = make_rope_tables(10000.0, 8, 50)
    angles = np.outer(np.arange(50), 10000.0 ** (-np.arange(4) / 4))
    assert np.abs(cosines - np.cos(angles)).max() < 1e-5
    assert np.abs(sines - np.sin(angles)).max() < 1e-5
    assert cosines.dtype == np.float32


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "gpt2"},
        {"hidden_act": "gelu"},
        {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}},
        {"attention_bias": True},
        {"model_type": "qwen2"},
        {"model_type": "qwen2", "use_sliding_window": True},
        {"eos_token_id": None},
        {"num_hidden_layers": 3},
        {"num_hidden_layers": 1},
        {"vocab_size": 7},
        {"hidden_size": "many"},
    ],
)
def test_models_of_other_kinds_are_refused(tmp_path, config):
    folder = write_folder(tmp_path / "hf", make_weights(), config=config)
    with pytest.raises(Refusal) as caught:
        write(read_folder(folder, top_k=8), tmp_path / "package")
    assert caught.value.code == "import.unsupported-model"
    assert not (tmp_path / "package").exists()


def test_weights_that_are_no_numbers_are_refused_and_nothing_stays(tmp_path):
    weights = make_weights()
    weights["model.norm.weight"][3] = np.inf
    folder = write_folder(tmp_path / "hf", weights)
    with pytest.raises(Refusal) as caught:
        write(read_folder(folder, top_k=8), tmp_path / "package")
    assert "not finite" in caught.value.message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hf"]


def test_a_qwen2_is_a_llama_with_biases(tmp_path):
    weights = make_weights(biased=True)
    folder = write_folder(tmp_path / "hf", weights, config={"model_type": "qwen2"})
    package = write(read_folder(folder, top_k=8), tmp_path / "package")
    assert package.manifest.text.qkv_bias
    check_text_meaning(package)
    stored = safetensors.numpy.load_file(package.folder / "model.safetensors")
    for name, weight in weights.items():
        assert np.array_equal(stored[name], weight)
    path = write_gguf(tmp_path / "tiny.gguf", weights, architecture="qwen2")
    other = write(read_gguf(path, top_k=8), tmp_path / "other")
    assert other.manifest.canonical == package.manifest.canonical
    assert other.manifest.text == package.manifest.text
    # The biases mean something, and a llama's file of them is none.
    weights["model.layers.1.self_attn.k_proj.bias"][0] += 1
    folder = write_folder(tmp_path / "changed", weights, config={"model_type": "qwen2"})
    changed = write(read_folder(folder, top_k=8), tmp_path / "changed-package")
    assert changed.manifest.canonical.digest != package.manifest.canonical.digest
    folder = write_folder(tmp_path / "llama", weights)
    with pytest.raises(Refusal, match="also holds"):
        write(read_folder(folder, top_k=8), tmp_path / "none")


def test_blocks_are_kept_beside_biases(tmp_path):
    def quantise(rows):
        kind = gguf.GGMLQuantizationType.Q8_0
        if rows.shape[1] % 32:
            return rows, None
        return gguf.quants.quantize(rows, kind), kind

    weights = make_weights(biased=True)
    path = write_gguf(tmp_path / "q.gguf", weights, architecture="qwen2", quantise=quantise)
    kept = write_text_package(
        read_gguf(path, top_k=8), FACTS, tmp_path / "kept", lambda *_: None, keeps_blocks=True
    )
    widened = write(read_gguf(path, top_k=8), tmp_path / "widened")
    assert kept.manifest.canonical == widened.manifest.canonical
    check_text_meaning(kept)
    opened = open_weights(kept.folder / "model.safetensors", kept.manifest.text)
    parts = [weights[f"model.layers.0.self_attn.{one}_proj.bias"] for one in "qkv"]
    assert np.array_equal(opened.layers[0].bias, np.concatenate(parts))


@pytest.mark.parametrize("size", [0, 3, 100, 2000])
def test_broken_gguf_files_are_refused(tmp_path, size):
    whole = write_gguf(tmp_path / "tiny.gguf", make_weights()).read_bytes()
    (tmp_path / "broken.gguf").write_bytes(whole[:size])
    with pytest.raises(Refusal) as caught:
        read_gguf(tmp_path / "broken.gguf", top_k=8)
    assert caught.value.code == "import.unsupported-model"


def test_gguf_files_of_other_kinds_are_refused(tmp_path):
    weights = make_weights()
    for number, changed in enumerate(
        ({"architecture": "gemma"}, {"facts": {"llama.rope.scaling.type": "yarn"}})
    ):
        path = write_gguf(tmp_path / f"{number}.gguf", weights, **changed)
        with pytest.raises(Refusal) as caught:
            read_gguf(path, top_k=8)
        assert caught.value.code == "import.unsupported-model"


@pytest.mark.parametrize(
    "config",
    [
        {"num_hidden_layers": (1 << 24) - 1},
        {"rms_norm_eps": 1e39},
        {"rms_norm_eps": -1.0},
        {"rope_theta": 0},
        {"rope_theta": -1.0},
        {"rope_theta": 1e300},
        {"num_attention_heads": HEADS + 1},
        {"head_dim": 3},
        {"eos_token_id": 1 << 60},
    ],
)
def test_sizes_that_no_package_may_have_are_refused_at_once(tmp_path, config):
    """A folder that says millions of layers has nobody list their weights."""
    folder = write_folder(tmp_path / "hf", make_weights(), config=config)
    start = time.monotonic()
    with pytest.raises(Refusal) as caught:
        read_folder(folder, top_k=8)
    assert caught.value.code == "import.unsupported-model"
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("name", ["../x", "a/b", ".x", "a\0b", "", "x" * 300])
def test_shards_elsewhere_are_refused(tmp_path, name):
    folder = write_folder(tmp_path / "hf", make_weights())
    index = {"weight_map": {"model.norm.weight": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(Refusal) as caught:
        read_folder(folder, top_k=8)
    assert caught.value.code == "import.unsupported-model"
