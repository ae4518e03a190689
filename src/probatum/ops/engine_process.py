"""CometBFT as a child that ends with its parent: ``python -m probatum.ops.engine_process``.

The engine is another project's program and cannot be told whose child it is. So this small process
stands between: it starts the engine, says so in one ready line, hands stop signals on, ends with
the engine's exit code, and takes the engine down when its own parent (or itself) dies, however.
Nothing but the standard library, since there is one of these for each engine. Must not know what
the engine does.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final

__all__ = ["main"]

_ENGINE: Final = "engine"
"""The engine's own folder, within a full node's home."""
EXIT_ORPHAN: Final = 75
EXIT_NOT_STARTED: Final = 69
_PR_SET_PDEATHSIG: Final = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the engine until it ends; return its exit code, 128 and the signal if one ended it."""
    parser = argparse.ArgumentParser(prog="python -m probatum.ops.engine_process")
    parser.add_argument("--home", type=Path, required=True, help="a full node's folder")
    parser.add_argument("--program", type=Path, required=True, help="CometBFT")
    parser.add_argument("--parent-fd", type=int, help="read end of a pipe; its end ends all")
    said = parser.parse_args(arguments)
    parent = os.getpid()
    libc = ctypes.CDLL(None)  # looked up before the fork: nothing is loaded between it and exec

    def die_with_parent() -> None:
        # It follows the thread that started the engine: here the main one, which is the process.
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(EXIT_ORPHAN)

    try:
        # From the home: the socket's name is seen from there, and short.
        engine = subprocess.Popen(  # noqa: S603 - the program that the operator chose
            [said.program, "start", "--home", _ENGINE],
            cwd=said.home,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            stderr=sys.stderr.fileno(),
            close_fds=True,
            preexec_fn=die_with_parent if hasattr(libc, "prctl") else None,  # noqa: PLW1509
        )
    except OSError as error:
        sys.stderr.write(f"cannot start {said.program}: {error.strerror}\n")
        return EXIT_NOT_STARTED

    def hand_on(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            engine.send_signal(number)

    signal.signal(signal.SIGTERM, hand_on)
    signal.signal(signal.SIGINT, hand_on)
    if said.parent_fd is not None:
        threading.Thread(
            target=_watch_parent, args=(said.parent_fd, engine), name="watch-parent", daemon=True
        ).start()
    sys.stdout.write(json.dumps({"ready": True, "process": engine.pid}) + "\n")
    sys.stdout.flush()
    code = engine.wait()
    return code if code >= 0 else 128 - code


def _watch_parent(descriptor: int, engine: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        while os.read(descriptor, 64):
            pass
    engine.kill()
    os._exit(EXIT_ORPHAN)


if __name__ == "__main__":
    sys.exit(main())
