"""Packages carry their canonical meaning, and lie about it in vain (EXACT-1)."""

import json
import re

import msgspec
import pytest

from probatum.cli.app import run
from probatum.hub.canonical import read_graph
from probatum.hub.package import load_package
from probatum.protocol.hashing import sha256
from tests.unit.runtime.models import make_model


def save(path, model):
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def net(tmp_path):
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Mul", ["x", "factor"], ["scaled"]),
        helper.make_node("Sigmoid", ["scaled"], ["y"]),
    ]
    inputs = [("x", TensorProto.FLOAT, ["rows", 3]), ("factor", TensorProto.FLOAT, [1])]
    model = make_model(nodes, inputs, [("y", TensorProto.FLOAT, ["rows", 3])])
    return save(tmp_path / "net.onnx", model)


def pack(net, folder, *words):
    facts = ["--name", "net", "--version", "1", "--task", "t", "--licence", "MIT"]
    return run(["model", "pack", str(net), "-o", str(folder), *facts, *words])


EXACT = ("--exact", "--batch", "--bind", "factor=[2]")


def test_a_package_states_digest_ranges_and_constants(net, tmp_path, capsys):
    assert pack(net, tmp_path / "p", *EXACT, "--dim", "rows=1..8") == 0
    package = load_package(tmp_path / "p")
    canonical = package.manifest.canonical
    assert [(one.name, one.least, one.greatest) for one in canonical.dims] == [("rows", 1, 8)]
    assert [one.name for one in package.manifest.bound] == ["factor"]
    assert [spec.name for spec in package.manifest.inputs] == ["x"]
    graph = read_graph(package)
    assert [record.name for record in graph.inputs] == ["x"]
    assert len(graph.weights) == 1
    assert canonical.digest in capsys.readouterr().out
    assert run(["model", "check", str(tmp_path / "p")]) == 0


def test_a_check_says_whether_exact_requests_are_computed_together(net, tmp_path, capsys):
    from onnx import TensorProto, helper

    assert pack(net, tmp_path / "p", *EXACT) == 0
    assert run(["model", "check", str(tmp_path / "p")]) == 0
    assert "computed together, joined along rows" in capsys.readouterr().out
    shape = [("x", TensorProto.FLOAT, ["rows", 3])], [("y", TensorProto.FLOAT, ["rows", 3])]
    mixing = make_model([helper.make_node("Softmax", ["x"], ["y"], axis=0)], *shape)
    words = ("--exact", "--batch")  # its publisher's word is not true
    assert pack(save(tmp_path / "mixing.onnx", mixing), tmp_path / "q", *words) == 0
    assert run(["model", "check", str(tmp_path / "q")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "computed one by one: entry 1 (ReduceMax): it folds over rows" in said


def draft(net, folder, *lines):
    """Begin a model's folder and say this in its model.toml."""
    assert run(["model", "init", str(folder), "--from", str(net)]) == 0
    text = (folder / "model.toml").read_text()
    for line in ('task = "t"', 'licence = "MIT"', *lines):
        name = line.partition(" ")[0]
        text = re.sub(f"(?m)^(# )?{name} = .*$", lambda _, line=line: line, text, count=1)
        assert line in text
    (folder / "model.toml").write_text(text)
    return folder


EXACT_LINES = ("batch = true", "exact = true", "bind = { factor = [2] }")


def test_a_model_toml_says_what_the_options_say(net, tmp_path, capsys):
    folder = draft(net, tmp_path / "net", *EXACT_LINES, 'dims = { rows = "1..8" }')
    assert run(["model", "check", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "x float32 [rows, 3]" in said
    assert "yes, rows 1 to 8" in said
    assert run(["model", "pack", str(folder)]) == 0
    assert pack(net, tmp_path / "p", *EXACT, "--dim", "rows=1..8") == 0
    written, spoken = (load_package(one).manifest for one in (folder / "package", tmp_path / "p"))
    assert written == msgspec.structs.replace(spoken, version="1.0")


def test_what_is_said_counts_more_than_what_is_written(net, tmp_path):
    folder = draft(net, tmp_path / "net", *EXACT_LINES, "dims = { rows = 4 }")
    words = ("--dim", "rows=1..2", "--bind", "factor=[3]", "-o", str(tmp_path / "p"))
    assert run(["model", "pack", str(folder), *words]) == 0
    manifest = load_package(tmp_path / "p").manifest
    assert [(one.name, one.least, one.greatest) for one in manifest.canonical.dims] == [
        ("rows", 1, 2)
    ]
    assert manifest.bound[0].data == "00004040"


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (("exact = true", 'dims = { rows = "many" }'), "input.bad-dim"),
        (("exact = true", 'dims = { rows = "1..16", x = 1.5 }'), "draft.malformed"),
        (("exact = true", "dims = { rows = 4 }", "bind = { other = 1 }"), "input."),
        (("exact = true", "bind = { factor = inf }"), "input.malformed"),
        (("dims = { rows = 4 }",), "input.bad-dim"),
        (("bind = { factor = [2] }",), "input.bad-dim"),
        (('exact = "yes"',), "draft.malformed"),
    ],
)
def test_what_a_model_toml_may_not_say_of_exactness(net, tmp_path, capsys, lines, code):
    folder = draft(net, tmp_path / "net", *lines)
    capsys.readouterr()
    for command in ("check", "pack"):
        assert run(["model", command, str(folder)]) == 1
        assert code in capsys.readouterr().err


def test_dims_of_which_nothing_is_said_are_admitted_from_1_to_16(net, tmp_path):
    assert pack(net, tmp_path / "p", *EXACT) == 0
    (dim,) = load_package(tmp_path / "p").manifest.canonical.dims
    assert (dim.name, dim.least, dim.greatest) == ("rows", 1, 16)


def test_a_fixed_dim_stands_as_a_number(net, tmp_path):
    assert pack(net, tmp_path / "p", "--exact", "--bind", "factor=[2]", "--dim", "rows=4") == 0
    manifest = load_package(tmp_path / "p").manifest
    assert manifest.inputs[0].shape == (4, 3)
    assert run(["model", "check", str(tmp_path / "p")]) == 0


def test_dims_for_which_no_node_lends_memory_are_refused_before_anybody_publishes(
    net, tmp_path, capsys
):
    assert pack(net, tmp_path / "p", *EXACT, "--dim", "rows=1..80000000") == 1
    assert "runtime.too-large" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()
    words = ("--bind", "factor=[2]", "--dim", "rows=1..80000000", "--no-measure")
    assert run(["model", "check", str(net), *words]) == 0
    assert "no node lends so much" in capsys.readouterr().out


def test_every_reason_is_said(tmp_path, capsys):
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("NonZero", ["x"], ["where"]),
        helper.make_node("Det", ["x"], ["det"]),
    ]
    outputs = [("where", TensorProto.INT64, [2, "found"]), ("det", TensorProto.FLOAT, [])]
    model = make_model(nodes, [("x", TensorProto.FLOAT, [2, 2])], outputs)
    assert pack(save(tmp_path / "odd.onnx", model), tmp_path / "p", "--exact") == 1
    said = capsys.readouterr().err
    assert "NonZero" in said
    assert "Det" in said
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("words", [("--dim", "rows=1..2"), ("--bind", "factor=[1]")])
def test_words_of_exactness_without_it_are_refused(net, tmp_path, words):
    assert pack(net, tmp_path / "p", *words) == 1


def forge(folder, change):
    """Change the graph and make the manifest agree with itself, as a liar would."""
    data = change((folder / "canonical.bin").read_bytes())
    (folder / "canonical.bin").write_bytes(data)
    path = folder / "probatum.json"
    told = json.loads(path.read_bytes())
    entry = next(one for one in told["files"] if one["path"] == "canonical.bin")
    entry |= {"size": len(data), "sha256": sha256(data).hex()}

    from probatum.canon.graph.packing import decode_graph
    from probatum.canon.graph.records import compute_canonical_digest

    told["canonical"]["digest"] = compute_canonical_digest(decode_graph(data)).hex()
    path.write_text(json.dumps(told, separators=(",", ":")))


def test_a_package_that_states_another_weight_is_found_out(net, tmp_path, capsys):
    assert pack(net, tmp_path / "p", *EXACT) == 0
    root = read_graph(load_package(tmp_path / "p")).weights[0].root
    forge(tmp_path / "p", lambda data: data.replace(root, bytes(32)))
    assert run(["model", "check", str(tmp_path / "p")]) == 1
    assert "package.other-canonical" in capsys.readouterr().err
    assert run(["model", "publish", str(tmp_path / "p"), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "package.other-canonical"


def test_a_graph_of_another_digest_is_refused_where_it_is_read(net, tmp_path, capsys):
    assert pack(net, tmp_path / "p", *EXACT) == 0
    path = tmp_path / "p" / "probatum.json"
    told = json.loads(path.read_bytes())
    told["canonical"]["digest"] = "0" * 64
    path.write_text(json.dumps(told, separators=(",", ":")))
    assert run(["model", "check", str(tmp_path / "p")]) == 1
    assert "package.other-canonical" in capsys.readouterr().err
