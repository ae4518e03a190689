"""Ports for processes that want them again: free ones, and none that outgoing connections get."""

from __future__ import annotations

import random
import socket

import pytest

from probatum.ops import ports
from probatum.ops.ports import draw_ports


@pytest.fixture
def outgoing(tmp_path, monkeypatch):
    """Where the system says which ports it gives to outgoing connections."""
    path = tmp_path / "range"
    monkeypatch.setattr(ports, "_OUTGOING", path)
    path.write_text("32768\t60999\n")
    return path


def test_drawn_ports_differ_and_are_none_of_outgoing_connections(outgoing):
    outgoing.write_text("10300\t60999\n")
    some = draw_ports(100)
    more = draw_ports(50, but=some)
    assert len({*some, *more}) == 150
    assert all(10_000 <= port < 10_300 for port in (*some, *more))


def test_a_port_that_somebody_listens_on_is_not_drawn(outgoing, monkeypatch):
    (taken, free) = draw_ports(2)
    draws = iter((taken, taken, free))
    monkeypatch.setattr(random.SystemRandom, "randrange", lambda *_: next(draws))
    with socket.socket() as other:
        other.bind(("127.0.0.1", taken))
        other.listen()
        assert draw_ports(1) == (free,)


@pytest.mark.parametrize("says", ["1024 65535", "10000 65535", "", "many"])
def test_where_outgoing_connections_may_have_any_the_system_chooses(outgoing, says):
    outgoing.write_text(says)
    assert len(set(draw_ports(20))) == 20


def test_without_that_file_the_system_chooses(outgoing):
    outgoing.unlink()
    assert len(set(draw_ports(20))) == 20


def test_where_all_below_are_taken_the_system_chooses(outgoing):
    outgoing.write_text("10001 65535")
    assert len(set(draw_ports(3))) == 3


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(OSError, match="assign"):
        draw_ports(1, host="192.0.2.1")
