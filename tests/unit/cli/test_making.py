"""From an ONNX file to a package: init, check, pack; what is wrong is said in words."""

from __future__ import annotations

import json
import os

import pytest

from probatum.cli import main
from probatum.hub.package import load_package
from tests.corpus import hostile

GOOD = hostile.dump(hostile.model([hostile.node("Relu")]))


@pytest.fixture(autouse=True)
def desk(monkeypatch, tmp_path):
    monkeypatch.setenv("PROBATUM_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.onnx").write_bytes(GOOD)
    return tmp_path


@pytest.fixture
def say(capsys):
    """Run a command with --json; give its exit status and its document."""

    def run(*words):
        status = main([*words, "--json"])
        return status, json.loads(capsys.readouterr().out)

    return run


def fill_in(folder, **facts):
    path = folder / "model.toml"
    lines = path.read_text().splitlines()
    for name, value in facts.items():
        (at,) = [i for i, line in enumerate(lines) if line.startswith(f"{name} = ")]
        lines[at] = f"{name} = {value}"
    path.write_text("\n".join(lines))


def test_from_a_file_to_a_package(say, desk):
    assert say("model", "init", "My Net", "--from", "net.onnx")[0] == 0
    status, refused = say("model", "check", "My Net")
    assert (status, refused["error"]["code"]) == (1, "draft.incomplete")
    fill_in(desk / "My Net", task='"test"', licence='"MIT"', batch="true")
    status, checked = say("model", "check", "My Net")
    assert status == 0
    assert checked["verdict"]["size"] == len(GOOD)
    status, packed = say("model", "pack", "My Net")
    assert status == 0
    package = load_package(desk / "My Net" / "package")
    assert package.digest.hex() == packed["package"]
    assert package.manifest.name == "my-net"
    assert package.manifest.batch_dim == "batch"
    assert package.manifest.inputs[0].shape == ("batch", 3)
    status, checked = say("model", "check", "My Net/package")
    assert (status, checked["package"]) == (0, packed["package"])
    assert checked["verdict"]["run_us"] >= 0


def test_labels_and_parents_come_from_the_folder(say, desk):
    say("model", "init", "net", "--from", "net.onnx")
    fill_in(desk / "net", task='"test"', licence='"MIT"')
    parent = 'parents = [{ package = "' + "ab" * 32 + '", relation = "converted" }]\n'
    text = (desk / "net" / "model.toml").read_text()
    (desk / "net" / "model.toml").write_text(parent + 'labels_file = "labels.txt"\n' + text)
    (desk / "net" / "labels.txt").write_text("a\nb\nc\n")
    assert say("model", "pack", "net", "--version", "2", "-o", "out")[0] == 0
    package = load_package(desk / "out")
    assert package.manifest.version == "2"
    assert package.read_labels() == ("a", "b", "c")
    assert package.manifest.parents[0].relation == "converted"


def test_a_file_alone_is_packed_with_options(say, desk):
    facts = ("--name", "net", "--version", "1", "--task", "t", "--licence", "MIT")
    assert say("model", "pack", "net.onnx", *facts, "-o", "out")[0] == 0
    status, refused = say("model", "pack", "net.onnx", "--name", "net")
    assert (status, refused["error"]["code"]) == (1, "draft.incomplete")
    assert "--version, --task, --licence, --output" in refused["error"]["message"]


@pytest.mark.parametrize("name", ["weights-in-another-file", "random-output", "zip-as-onnx"])
def test_a_hostile_file_is_refused_everywhere(say, desk, name):
    each = hostile.HOSTILE[name]
    (desk / "bad.onnx").write_bytes(each.make())
    status, found = say("model", "check", "bad.onnx")
    assert (status, found["error"]["code"]) == (1, each.code)
    assert found["verdict"]["reasons"][0]["code"] == each.code
    facts = ("--name", "net", "--version", "1", "--task", "t", "--licence", "MIT")
    status, found = say("model", "pack", "bad.onnx", *facts, "-o", "out")
    assert (status, found["error"]["code"]) == (1, each.code)
    assert not (desk / "out").exists()
    say("model", "init", "folder", "--from", "bad.onnx")
    assert say("model", "check", "folder")[1]["error"]["code"] == each.code


def test_each_reason_is_printed(capsys, desk):
    made = hostile.model([hostile.node("RandomNormalLike")])
    made.training_info.add()
    (desk / "bad.onnx").write_bytes(hostile.dump(made))
    assert main(["model", "check", "bad.onnx"]) == 1
    shown = capsys.readouterr().out
    assert "admission.training-info: " in shown
    assert "admission.random-operator: " in shown
    assert "hint: " in shown


def test_a_link_is_followed_where_a_person_named_it_and_nowhere_else(say, desk):
    (desk / "link.onnx").symlink_to("net.onnx")
    assert say("model", "check", "link.onnx")[0] == 0
    say("model", "init", "folder")
    for make in (os.symlink, os.link):
        make(desk / "net.onnx", desk / "folder" / "model.onnx")
        status, found = say("model", "check", "folder")
        assert status == 1
        assert found["error"]["code"] in {"package.symlink", "package.hard-link"}
        (desk / "folder" / "model.onnx").unlink()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('name = "Not Lower Case"', "draft.malformed"),
        ("name = ", "draft.malformed"),
        ("version = 1.0", "draft.malformed"),
        ('file = "../net.onnx"', "draft.malformed"),
        ('file = "/etc/passwd"', "draft.malformed"),
        ('unknown = "x"', "draft.malformed"),
        ('file = "other.onnx"', "draft.no-model"),
        ('labels_file = "none.txt"', "package.missing-file"),
        ('labels = ["a"]\nlabels_file = "l.txt"', "draft.incomplete"),
        ('licence = ""', "draft.incomplete"),
    ],
)
def test_what_a_draft_may_not_say(say, desk, line, code):
    say("model", "init", "net", "--from", "net.onnx")
    right = {"name": '"net"', "version": '"1"', "task": '"t"', "licence": '"MIT"'}
    right.pop(line.split(" ")[0], None)
    rest = "".join(f"{name} = {value}\n" for name, value in right.items())
    (desk / "net" / "model.toml").write_text(rest + line + "\n")
    status, found = say("model", "check", "net")
    assert (status, found["error"]["code"]) == (1, code)


def test_init_overwrites_nothing_and_wants_one_source(say, desk):
    (desk / "net").mkdir()
    (desk / "net" / "train.py").write_text("mine")
    assert say("model", "init", "net", "--sklearn")[1]["error"]["code"] == "draft.exists"
    assert sorted(path.name for path in (desk / "net").iterdir()) == ["train.py"]
    both = say("model", "init", "new", "--from", "net.onnx", "--sklearn")
    assert both[1]["error"]["code"] == "draft.two-sources"
    assert say("model", "init", "new", "--from", "none.onnx")[1]["error"]["code"] == (
        "settings.no-file"
    )
    assert not (desk / "new").exists()


def test_what_is_neither_is_said_so(say, desk):
    (desk / "empty").mkdir()
    assert say("model", "check", "empty")[1]["error"]["code"] == "draft.missing"
    assert say("model", "check", "nothing")[1]["error"]["code"] == "settings.no-file"
    assert say("model", "check", "/dev/null")[1]["error"]["code"] == "settings.no-file"
    assert say("model", "init", "net", "--sklearn")[0] == 0
    compile((desk / "net" / "train.py").read_text(), "train.py", "exec")
    assert say("model", "check", "net")[1]["error"]["code"] == "draft.no-model"


def test_what_is_not_there_is_said_before_what_else_is_missing(say):
    status, refused = say("model", "pack", "nosuch")
    assert (status, refused["error"]["code"]) == (1, "draft.no-source")


def test_who_has_a_draft_is_sent_back_to_it(say):
    say("model", "init", "mine", "--from", "net.onnx")
    status, refused = say("model", "pack", "mine")
    assert (status, refused["error"]["code"]) == (1, "draft.incomplete")
    assert refused["error"]["hint"] == "or say it in mine/model.toml"
