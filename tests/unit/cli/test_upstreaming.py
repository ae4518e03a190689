"""`probatum model upstream` and `relay`, as a publisher types them (`TEXT-2`)."""

import hashlib
import json

import pytest

from probatum.cli import main
from probatum.hub.package import load_package
from tests.unit.hub.importing.foreign_models import make_weights, write_folder, write_gguf


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_file_that_llama_cpp_runs_is_described(tmp_path, capsys):
    path = write_gguf(tmp_path / "tiny.gguf", make_weights())
    arguments = ["tiny.gguf", "--name", "tiny", "--licence", "MIT", "--numeric", "F", "--json"]
    assert main(["model", "upstream", *arguments]) == 0
    shown = json.loads(capsys.readouterr().out)
    package = load_package(tmp_path / "tiny-1")
    model = package.manifest.upstream
    assert shown["package"] == package.digest.hex()
    assert (model.engine, model.numeric, model.served_as) == ("llama.cpp", "F", "tiny")
    assert model.weights == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (model.vocabulary, model.context, model.stop_ids) == (261, 64, (0,))
    assert package.manifest.tokenizer == "tokenizer.json"
    assert model.template is not None
    assert main(["model", "check", "tiny-1"]) == 0
    assert "checked by nobody" in capsys.readouterr().out


def test_a_folder_that_vllm_runs_is_described(tmp_path, capsys):
    write_folder(tmp_path / "hf", make_weights())
    arguments = ["--name", "tiny", "--licence", "MIT", "--numeric", "B", "--served-as", "org/tiny"]
    assert main(["model", "upstream", "hf", "--engine", "vllm", *arguments]) == 0
    model = load_package(tmp_path / "tiny-1").manifest.upstream
    assert (model.engine, model.numeric, model.served_as) == ("vllm", "B", "org/tiny")
    (tmp_path / "hf" / "more.safetensors").write_bytes(b"")
    assert main(["model", "upstream", "hf", "--engine", "vllm", *arguments, "-o", "other"]) == 1


def test_a_closed_service_is_described_as_a_relay(tmp_path, capsys):
    arguments = ["--name", "theirs", "--licence", "LicenseRef-terms"]
    assert main(["model", "relay", "org/model", *arguments]) == 0
    assert "closed service" in capsys.readouterr().out
    model = load_package(tmp_path / "theirs-1").manifest.upstream
    assert (model.engine, model.numeric, model.weights) == ("relay", None, None)
    assert main(["model", "check", "theirs-1"]) == 0


def test_what_is_missing_is_named(tmp_path, capsys):
    assert main(["model", "upstream", "no.gguf", "--name", "x", "--numeric", "F"]) == 1
    assert "import.no-source" in capsys.readouterr().err
    write_gguf(tmp_path / "tiny.gguf", make_weights())
    assert main(["model", "upstream", "tiny.gguf", "--name", "x", "--numeric", "F"]) == 1
    assert "import.no-licence" in capsys.readouterr().err
