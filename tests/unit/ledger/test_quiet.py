"""Loading the ledger loads no numbers library, no loop and no disk."""

import subprocess
import sys


def test_loading_every_page_of_the_ledger_stays_quiet():
    code = """
import importlib, pkgutil, sys
import probatum.ledger
for page in pkgutil.walk_packages(probatum.ledger.__path__, "probatum.ledger."):
    importlib.import_module(page.name)
assert "probatum.ledger.handlers.transfer" in sys.modules
print(*sorted({"numpy", "asyncio", "sqlite3", "socket", "onnxruntime"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
