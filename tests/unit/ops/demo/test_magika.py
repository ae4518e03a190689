"""Magika's package and features, on real files."""

import gzip
import json
import sys

import numpy as np
import pytest

from probatum.errors import Fault, Refusal
from probatum.ops.demo.magika import (
    build_magika,
    compute_features,
    make_input,
    read_features,
    read_guesses,
)
from probatum.runtime.session import OnnxSession


@pytest.fixture(scope="module")
def package(magika_folder, tmp_path_factory):
    return build_magika(magika_folder, tmp_path_factory.mktemp("hub") / "magika")


@pytest.fixture(scope="module")
def session(package):
    return OnnxSession(package.manifest, package.read_model())


def test_the_package_says_what_the_model_is(package):
    manifest = package.manifest
    assert (manifest.name, manifest.licence, manifest.batch_dim) == ("magika", "Apache-2.0", "n")
    assert [(s.name, s.dtype, s.shape) for s in manifest.inputs] == [
        ("bytes", "int32", ("n", 2048))
    ]
    assert [(s.name, s.dtype, s.shape) for s in manifest.outputs] == [
        ("target_label", "float32", ("n", 214))
    ]
    assert len(package.read_labels()) == 214
    assert [entry.path for entry in manifest.files] == [
        "README.md",
        "config.min.json",
        "labels.txt",
        "model.onnx",
    ]


def test_it_recognises_real_files(package, session, repository, tmp_path):
    (tmp_path / "packed").write_bytes(gzip.compress(b"some text " * 50))
    (tmp_path / "numbers").write_text(json.dumps({"a": [1, 2, {"b": None}], "name": "x" * 30}))
    paths = {
        "toml": repository / "pyproject.toml",
        "elf": sys.executable,
        "gzip": tmp_path / "packed",
        "json": tmp_path / "numbers",
        "onnx": package.folder / "model.onnx",
        "markdown": repository / "models" / "README.md",
    }
    features = tuple(read_features(type(repository)(path)) for path in paths.values())
    (answer,) = session.run((make_input(features),))
    guesses = read_guesses(answer, package.read_labels())
    assert [guess.label for guess in guesses] == list(paths)
    assert min(guess.score for guess in guesses) > 0.5


def test_files_joined_are_answered_as_alone(session, repository):
    paths = sorted((repository / "src").rglob("*.py"))[:5]
    features = tuple(read_features(path) for path in paths)
    (joined,) = session.run((make_input(features),))
    alone = [session.run((make_input((each,)),))[0].data for each in features]
    # Another batch size is another order of sums in float32.
    np.testing.assert_allclose(
        np.frombuffer(joined.data, "<f4"), np.frombuffer(b"".join(alone), "<f4"), atol=1e-4
    )


def test_features_of_a_short_file_are_padded_on_both_sides():
    features = compute_features(b"  ab \n", b"  ab \n")
    assert features[:5].tolist() == [97, 98, 32, 10, 256]
    assert features[-5:].tolist() == [256, 32, 32, 97, 98]
    assert (features == 256).sum() == 2048 - 8


def test_features_of_a_long_file_are_its_two_ends(tmp_path):
    path = tmp_path / "long"
    path.write_bytes(b"\n" * 4000 + b"a" * 50_000 + b"b" * 4000 + b" " * 1000)
    features = read_features(path)
    assert features[:96].tolist() == [97] * 96
    assert set(features[96:1024].tolist()) == {256}
    assert features[1024:].tolist() == [98] * 1024


def test_an_empty_file_is_nothing_but_padding(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert set(read_features(tmp_path / "empty").tolist()) == {256}


def test_what_cannot_be_read_is_a_fault(tmp_path):
    with pytest.raises(Fault):
        read_features(tmp_path / "nowhere")


@pytest.mark.parametrize("change", [{"beg_size": 512}, {"padding_token": 0}, {"mid_size": "x"}])
def test_another_configuration_is_refused(magika_folder, tmp_path, change):
    for name in ("model.onnx", "README.md"):
        (tmp_path / name).write_bytes((magika_folder / name).read_bytes())
    config = json.loads((magika_folder / "config.min.json").read_bytes())
    (tmp_path / "config.min.json").write_text(json.dumps(config | change))
    with pytest.raises(Refusal) as caught:
        build_magika(tmp_path, tmp_path / "package")
    assert caught.value.code == "demo.other-magika"
