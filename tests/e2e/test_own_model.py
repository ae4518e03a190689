"""The scikit-learn example of `model init`: trained, exported, checked, packed, answered.

Runs where scikit-learn and skl2onnx are: in this Python, or in the one that
``PROBATUM_SKLEARN_PYTHON`` names. Probatum itself needs neither.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import pytest

from probatum.hub.package import load_package
from probatum.protocol.tensors import Tensor
from probatum.runtime.session import OnnxSession
from tests.e2e.test_cli import Desk

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def trainer():
    python = os.environ.get("PROBATUM_SKLEARN_PYTHON", sys.executable)
    code = "import sklearn, skl2onnx"
    if subprocess.run([python, "-c", code], capture_output=True, check=False).returncode != 0:
        pytest.skip("scikit-learn and skl2onnx are not installed")
    return python


def test_the_example_becomes_a_package_that_knows_its_flowers(tmp_path, trainer):
    desk = Desk(tmp_path)
    desk.ask("model", "init", "iris", "--sklearn")
    done = subprocess.run(
        [trainer, "iris/train.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert float(re.search(r"([\d.]+)%", done.stdout)[1]) > 90
    refused = desk.ask("model", "check", "iris", status=1)
    assert refused["error"]["code"] == "draft.incomplete"
    path = tmp_path / "iris" / "model.toml"
    path.write_text(path.read_text().replace('licence = ""', 'licence = "BSD-3-Clause"'))
    verdict = desk.ask("model", "check", "iris")["verdict"]
    assert verdict["run_us"] > 0
    packed = desk.ask("model", "pack", "iris")
    package = load_package(tmp_path / "iris" / "package")
    assert package.digest.hex() == packed["package"]
    assert package.read_labels() == ("setosa", "versicolor", "virginica")
    session = OnnxSession(package.manifest, package.read_model())
    flowers = np.array([[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]], "float32")
    (spec,) = package.manifest.inputs
    outputs = session.run(
        (Tensor(name=spec.name, dtype="float32", shape=(2, 4), data=flowers.tobytes()),)
    )
    labels = np.frombuffer(outputs[0].data, "int64")
    assert labels.tolist() == [0, 2]
