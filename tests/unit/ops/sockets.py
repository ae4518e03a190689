"""Ports for tests."""

from __future__ import annotations

import socket
from contextlib import ExitStack


def draw_ports(count):
    """Draw different ports that nobody listens on."""
    with ExitStack() as stack:
        doors = [stack.enter_context(socket.socket()) for _ in range(count)]
        for door in doors:
            door.bind(("127.0.0.1", 0))
        return [door.getsockname()[1] for door in doors]


def draw_pair():
    """Draw a port that nobody listens on, and neither on the next one."""
    while True:
        (first,) = draw_ports(1)
        with socket.socket() as door:
            try:
                door.bind(("127.0.0.1", first + 1))
            except (OSError, OverflowError):
                continue
            return first
