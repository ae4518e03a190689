"""What a ledger loads to judge brings no array or graph library along (`CANON-3`)."""

import subprocess
import sys
from pathlib import Path

ROOMS = ("canon.graph", "canon.arith", "canon.primitives", "canon.trace", "ledger")


def load(rooms):
    code = "import importlib, pkgutil, sys\n"
    code += f"for room in {rooms!r}:\n"
    code += "    package = importlib.import_module('probatum.' + room)\n"
    code += "    for page in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
    code += "        importlib.import_module(page.name)\n"
    code += "print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    return set(done.stdout.split())


def test_judging_loads_no_array_or_graph_library():
    loaded = load(ROOMS)
    assert "probatum.canon.primitives.judging" in loaded
    assert "probatum.ledger.apply" in loaded
    assert loaded.isdisjoint({"ml_dtypes", "numpy", "onnx", "onnxruntime", "scipy"})


def test_the_check_can_fail():
    assert "numpy" in load(("canon.evaluate",))
