"""The engine tells nobody that it runs, and leaves no identifier behind."""

from __future__ import annotations

import os
import subprocess
import sys


def import_and_list(statement, folder):
    environment = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}
    environment |= {"TMPDIR": str(folder), "HOME": str(folder), "XDG_CACHE_HOME": str(folder)}
    subprocess.run([sys.executable, "-c", statement], env=environment, check=True)
    return sorted(path.name for path in folder.rglob("*"))


def test_the_engine_leaves_no_trace_of_a_reporter(tmp_path):
    # What the reporter leaves when it is not switched off: its session and its identifier.
    assert import_and_list("import probatum.runtime.engine", tmp_path) == []
