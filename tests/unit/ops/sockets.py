"""Ports for tests."""

from __future__ import annotations

import socket

from probatum.ops.ports import draw_ports


def draw_pair():
    """Draw a port that nobody listens on, and neither on the next one."""
    while True:
        (first,) = draw_ports(1)
        with socket.socket() as door:
            try:
                door.bind(("127.0.0.1", first + 1))
            except OSError:
                continue
            return first
