"""Files that go along in a package: a tokenizer is found by its name."""

import pytest
from onnx import TensorProto, helper

from probatum.cli.app import run
from probatum.hub.package import load_package
from tests.unit.cli.test_exacting import pack, save
from tests.unit.runtime.models import make_model
from tests.unit.runtime.tokenizers import make_tokenizer


@pytest.fixture
def net(tmp_path):
    shape = [("x", TensorProto.FLOAT, ["rows", 3])], [("y", TensorProto.FLOAT, ["rows", 3])]
    return save(tmp_path / "net.onnx", make_model([helper.make_node("Neg", ["x"], ["y"])], *shape))


def test_a_tokenizer_and_a_licence_go_along(net, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(make_tokenizer())
    (tmp_path / "LICENSE").write_text("do what you like\n")
    words = ("--enclose", str(tmp_path / "tokenizer.json"), "--enclose", str(tmp_path / "LICENSE"))
    assert pack(net, tmp_path / "p", *words, "--max-tokens", "9", "--exact") == 0
    package = load_package(tmp_path / "p")
    manifest = package.manifest
    assert (manifest.tokenizer, manifest.max_tokens) == ("tokenizer.json", 9)
    names = [one.path for one in manifest.files]
    assert names == ["LICENSE", "canonical.bin", "model.onnx", "tokenizer.json"]
    assert package.read_file("LICENSE") == b"do what you like\n"
    assert run(["model", "check", str(tmp_path / "p")]) == 0


@pytest.mark.parametrize(
    "name", ["model.onnx", "labels.txt", "canonical.bin", "probatum.json", "model.sig"]
)
def test_names_that_a_package_needs_itself_are_refused(net, tmp_path, capsys, name):
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / name).write_bytes(b"x")
    assert pack(net, tmp_path / "p", "--enclose", str(folder / name)) == 1
    assert "draft.odd-file" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()


def test_one_name_twice_and_a_file_that_is_not_there_are_refused(net, tmp_path, capsys):
    (tmp_path / "card.md").write_text("about it")
    card = ("--enclose", str(tmp_path / "card.md"))
    assert pack(net, tmp_path / "p", *card, *card) == 1
    assert "draft.odd-file" in capsys.readouterr().err
    assert pack(net, tmp_path / "p", "--enclose", str(tmp_path / "none.md")) == 1
    assert "settings.no-file" in capsys.readouterr().err
