"""A node examines each package once before it loads it, and starts with none that is hostile."""

from __future__ import annotations

import json

import pytest

from probatum.cli import main
from probatum.errors import Refusal
from probatum.hub.build import PackageFacts, build_package
from probatum.hub.verdicts import VerdictShelf
from probatum.nodes.inference.examining import examine_packages
from probatum.nodes.shell.config import InferenceConfig, write_config
from probatum.ops.folder import NetworkPlan
from probatum.ops.network import Network
from probatum.protocol.manifests import TensorSpec
from probatum.runtime.sandbox.verdict import decode_verdict, encode_verdict, get_checker
from tests.corpus import hostile

GOOD = hostile.dump(hostile.model([hostile.node("Relu")]))


def make_package(folder, model):
    spec = {"dtype": "float32", "shape": ("n", 3)}
    facts = PackageFacts(
        name="small",
        version="1",
        task="test",
        licence="MIT",
        description="",
        inputs=(TensorSpec(name="x", **spec),),
        outputs=(TensorSpec(name="y", **spec),),
    )
    return build_package(facts, model, folder)


def test_a_package_is_examined_once(tmp_path):
    package = make_package(tmp_path / "package", GOOD)
    shelf = VerdictShelf(tmp_path / "verdicts")
    examine_packages([package], shelf)
    kept = shelf.get(package.digest, get_checker())
    assert decode_verdict(kept).is_admitted
    # No file is needed the second time: the verdict is.
    (package.folder / "model.onnx").rename(tmp_path / "away")
    examine_packages([package], shelf)


@pytest.mark.parametrize("name", ["path-that-climbs", "operator-of-ones-own", "terabytes-of-ones"])
def test_a_hostile_package_keeps_the_node_from_starting(tmp_path, name):
    each = hostile.HOSTILE[name]
    package = make_package(tmp_path / "package", each.make())
    shelf = VerdictShelf(tmp_path / "verdicts")
    with pytest.raises(Refusal) as caught:
        examine_packages([package], shelf)
    assert caught.value.code == each.code
    assert "small 1" in caught.value.message
    assert shelf.get(package.digest, get_checker()) is None


def test_a_kept_verdict_of_other_bytes_counts_for_nothing(tmp_path):
    good = make_package(tmp_path / "good", GOOD)
    bad = make_package(tmp_path / "bad", hostile.HOSTILE["path-that-climbs"].make())
    shelf = VerdictShelf(tmp_path / "verdicts")
    examine_packages([good], shelf)
    kept = shelf.get(good.digest, get_checker())
    for planted in (kept, b"noise", encode_verdict(decode_verdict(kept))[:-1]):
        shelf.put(bad.digest, get_checker(), planted)
        with pytest.raises(Refusal) as caught:
            examine_packages([bad], shelf)
        assert caught.value.code == "runtime.external-data"


def test_a_file_that_is_not_the_manifest_s_is_refused(tmp_path):
    package = make_package(tmp_path / "package", GOOD)
    other = hostile.dump(hostile.model([hostile.node("Tanh")]))
    (package.folder / "model.onnx").write_bytes(other)
    with pytest.raises(Refusal) as caught:
        examine_packages([package], VerdictShelf(tmp_path / "verdicts"))
    assert caught.value.code == "runtime.unverified"


def test_nobody_is_given_a_hostile_package(tmp_path, capsys):
    """Neither a network of one's own nor a node takes it: it is refused where it is handed over."""
    make_package(tmp_path / "bad", hostile.HOSTILE["random-output"].make())
    plan = NetworkPlan(models=(tmp_path / "bad",))
    with pytest.raises(Refusal) as caught:
        Network.open(tmp_path / "network", plan)
    assert caught.value.code == "admission.random-operator"
    home = tmp_path / "home"
    home.mkdir()
    config = InferenceConfig(operator="0x" + "11" * 20, ledger="http://127.0.0.1:1")
    write_config(home, config)
    assert main(["node", "add-model", str(home), str(tmp_path / "bad"), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "admission.random-operator"
    assert not (home / "packages").exists()
    make_package(tmp_path / "good", GOOD)
    assert main(["node", "add-model", str(home), str(tmp_path / "good"), "--json"]) == 0
    assert len(list((home / "verdicts").iterdir())) == 1
