"""Finding real processes by what they were started with."""

from __future__ import annotations

import time
from pathlib import Path


def find_processes(word):
    """Process ids whose command line contains a word, zombies left out."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(word) in command:
            found.append(int(folder.name))
    return sorted(found)


def wait_for(condition, timeout_s=30.0, pause_s=0.05):
    """Wait until a condition gives something true, and return it; the last value at the end."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(pause_s)
    return value
