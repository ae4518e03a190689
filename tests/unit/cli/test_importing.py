"""`probatum model import`, as a publisher types it."""

import json

import gguf
import pytest

from probatum.cli import main
from probatum.hub.package import load_package
from tests.unit.hub.importing.foreign_models import make_weights, write_folder, write_gguf


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_gguf_file_becomes_a_package(tmp_path, capsys):
    write_gguf(tmp_path / "tiny.gguf", make_weights())
    arguments = ["tiny.gguf", "--name", "tiny", "--licence", "MIT", "--context", "32", "--json"]
    assert main(["model", "import", *arguments]) == 0
    shown = json.loads(capsys.readouterr().out)
    package = load_package(tmp_path / "tiny-1")
    assert shown["package"] == package.digest.hex()
    assert package.manifest.text.context == 32
    assert package.manifest.tokenizer == "tokenizer.json"
    assert main(["model", "check", "tiny-1"]) == 0


def test_quantised_weights_can_stay_so(tmp_path, capsys):
    def quantise(weight):
        kind = gguf.GGMLQuantizationType.Q8_0
        if weight.shape[1] % 32:
            return weight, None
        return gguf.quants.quantize(weight, kind), kind

    write_gguf(tmp_path / "q.gguf", make_weights(), quantise=quantise)
    arguments = ["q.gguf", "--name", "tiny", "--licence", "MIT", "--keep-blocks"]
    assert main(["model", "import", *arguments]) == 0
    assert main(["model", "check", "tiny-1"]) == 0
    assert b"up_proj.weight.Q8_0" in (tmp_path / "tiny-1" / "model.safetensors").read_bytes()
    capsys.readouterr()
    write_gguf(tmp_path / "f.gguf", make_weights())
    arguments = ["f.gguf", "--name", "other", "--licence", "MIT", "--keep-blocks"]
    assert main(["model", "import", *arguments]) != 0
    assert "import.unsupported-model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nothing.gguf"], "import.no-source"),
        (["hf"], "import.no-licence"),
        (["hf", "--licence", "MIT", "--tokenizer", "bad.json"], "tokens.bad-tokenizer"),
        (["hf", "--licence", "MIT", "--template", "bad.jinja"], "template.bad-form"),
        (["hf", "--licence", "MIT", "-o", "hf"], "package.folder-taken"),
    ],
)
def test_what_is_missing_is_said(tmp_path, capsys, arguments, code):
    write_folder(tmp_path / "hf", make_weights())
    (tmp_path / "bad.json").write_text("{}")
    (tmp_path / "bad.jinja").write_text("{% include 'x' %}")
    assert main(["model", "import", *arguments, "--name", "tiny"]) != 0
    assert code in capsys.readouterr().err
