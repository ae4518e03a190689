"""A crowd is there while several ask, and a moment longer."""

import time

from probatum.nodes.shell.crowd import Crowd


def test_a_crowd_is_there_while_several_ask_and_a_moment_longer(monkeypatch):
    now = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    crowd = Crowd()
    assert not crowd.is_there(0)
    assert not crowd.is_there(1)
    assert crowd.is_there(2)
    assert crowd.is_there(1), "a gap between askers"
    now[0] += 0.09
    assert crowd.is_there(0)
    assert crowd.is_there(3)
    now[0] += 0.09
    assert crowd.is_there(1), "counted from the last"
    now[0] += 0.11
    assert not crowd.is_there(1)
