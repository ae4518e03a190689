"""A confined process can open, write, connect and fork nothing any more (PUB-1)."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CONFINED = """
import os, resource, socket, sys
from probatum.runtime.sandbox.confine import close_doors, limit_resources
out = os.dup(1)
limit_resources(memory_bytes=512 << 20, cpu_seconds=1, parent=os.getppid())
close_doors()
try:
    {attempt}
except (OSError, MemoryError) as error:
    os.write(out, type(error).__name__.encode())
else:
    os.write(out, b"done")
"""
ATTEMPTS = {
    "read a file": "open('/etc/hostname')",
    "write a file": "open('/tmp/never-written', 'w')",
    "open a socket": "socket.socket()",
    "open a pipe": "os.pipe()",
    "copy a descriptor": "os.dup(1)",
    "take much memory": "bytearray(1 << 30)",
    "read a folder": "os.listdir('/')",
}


def run_confined(attempt, **options):
    return subprocess.run(
        [sys.executable, "-c", CONFINED.format(attempt=attempt)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        **options,
    )


@pytest.mark.parametrize("what", sorted(ATTEMPTS))
def test_it_cannot(what):
    done = run_confined(ATTEMPTS[what])
    assert done.stdout in {"OSError", "MemoryError"}, done.stderr


def test_what_needs_no_door_still_works():
    assert run_confined("sum(range(10))").stdout == "done"


def test_it_cannot_grow_a_file_that_is_open(tmp_path):
    with (tmp_path / "out").open("wb") as file:
        code = CONFINED.format(attempt="os.write(1, b'x' * 10)")
        subprocess.run([sys.executable, "-c", code], stdout=file, timeout=30, check=False)
    assert (tmp_path / "out").read_bytes() == b""


def test_it_has_no_more_time_than_given():
    done = run_confined("exec('while True: pass')")
    assert done.returncode == -24  # SIGXCPU


def test_it_cannot_take_limits_back():
    """Not even root, where the system gives it a user of its own; elsewhere only root could."""
    attempt = "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))"
    done = run_confined(attempt)
    if "ValueError" in done.stderr:
        return
    assert done.stdout == "done"
    assert os.geteuid() == 0, "somebody without rights took a limit back"


def test_it_cannot_fork_without_rights():
    """A user without rights may start no process; root's are bounded by what they may open."""
    if os.geteuid() == 0:
        code = "os.setgroups([]); os.setgid(65534); os.setuid(65534); os.fork()"
        wrapped = CONFINED.replace("close_doors()\n", "", 1).format(attempt=code)
        done = subprocess.run(
            [sys.executable, "-c", wrapped], capture_output=True, text=True, timeout=30, check=False
        )
        assert done.stdout == "BlockingIOError", done.stderr
    else:
        assert run_confined("os.fork()").stdout == "BlockingIOError"
