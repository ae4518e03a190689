"""A crowd is there while several ask, and a moment longer."""

import time

from probatum.nodes.shell.crowd import Crowd


def test_a_crowd_is_there_while_several_ask_and_a_moment_longer(monkeypatch):
    now = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    count = 0
    crowd = Crowd(lambda: count)
    assert not crowd.is_there()
    count = 1
    assert not crowd.is_there()
    count = 2
    assert crowd.is_there()
    count = 1
    assert crowd.is_there(), "a gap between askers"
    now[0] += 0.09
    count = 0
    assert crowd.is_there()
    count = 3
    assert crowd.is_there()
    now[0] += 0.09
    count = 1
    assert crowd.is_there(), "counted from the last"
    now[0] += 0.11
    assert not crowd.is_there()
