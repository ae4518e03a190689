"""Who is let in at a door, how often, and how many at one time."""

import contextlib

import pytest

from probatum.errors import Refusal
from probatum.nodes.shell import gate as gates
from probatum.nodes.shell.api_keys import ApiKeys, add_key, revoke_key
from probatum.nodes.shell.gate import Gate, GateRules
from probatum.nodes.shell.problems import get_headers, get_status


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


def scope(key=None, address="10.0.0.1", scheme="Bearer"):
    headers = [(b"host", b"x")]
    if key is not None:
        headers.append((b"authorization", f"{scheme} {key}".encode()))
    return {"headers": headers, "client": (address, 1234)}


def enter(gate, *args, **more):
    with gate.enter(scope(*args, **more)) as caller:
        return caller


def refusal(gate, *args, **more):
    with pytest.raises(Refusal) as caught:
        enter(gate, *args, **more)
    return caught.value


def test_without_rules_anybody_is_let_in():
    gate = Gate()
    assert enter(gate) == ""
    assert enter(gate, "sk-of-some-other-api") == ""


def test_a_key_names_its_caller(tmp_path):
    text, key = add_key(tmp_path)
    gate = Gate(keys=ApiKeys(tmp_path))
    assert enter(gate, text) == f"key:{key.id}"
    assert enter(gate, text, scheme="bearer") == f"key:{key.id}"
    assert enter(gate, text, scheme="Basic") == ""
    unknown = "pb-aaaaaaaa-" + "A" * 43
    refused = refusal(gate, unknown)
    assert (refused.code, get_status(refused)) == ("door.unknown-key", 401)
    assert get_headers(refused, 401) == ((b"www-authenticate", b"Bearer"),)
    assert refusal(Gate(), text).code == "door.unknown-key"


def test_where_nobody_may_ask_without_a_key(tmp_path):
    text, key = add_key(tmp_path)
    gate = Gate(GateRules(anonymous=False), ApiKeys(tmp_path))
    for wrong in (None, "", "sk-x"):
        refused = refusal(gate, wrong)
        assert (refused.code, get_status(refused)) == ("door.no-key", 401)
    assert enter(gate, text) == f"key:{key.id}"
    revoke_key(tmp_path, key.id)
    refused = refusal(Gate(GateRules(), ApiKeys(tmp_path)), text)
    assert (refused.code, get_status(refused)) == ("door.revoked-key", 403)


def test_rates_are_held_for_each_caller(tmp_path):
    clock = Clock()
    text, _ = add_key(tmp_path, per_s=0.5)
    gate = Gate(GateRules(anonymous_per_s=2), ApiKeys(tmp_path), clock)
    enter(gate)
    enter(gate)
    refused = refusal(gate)
    assert (refused.code, get_status(refused)) == ("door.too-often", 429)
    assert get_headers(refused, 429) == ((b"retry-after", b"1"),)
    enter(gate, address="10.0.0.2")
    clock.now_s = 0.5
    enter(gate)
    assert refusal(gate).code == "door.too-often"
    enter(gate, text)
    assert refusal(gate, text).after_s == 2
    clock.now_s = 2.4
    assert refusal(gate, text).after_s == 1
    clock.now_s = 2.5
    enter(gate, text)
    clock.now_s = 1_000
    enter(gate, text)
    assert refusal(gate, text).code == "door.too-often", "only one second's worth is saved"


def test_who_is_inside_is_counted_and_let_out_whatever_happens(tmp_path):
    text, _ = add_key(tmp_path, at_once=1)
    gate = Gate(GateRules(at_once=3, anonymous_at_once=2), ApiKeys(tmp_path))
    with contextlib.ExitStack() as inside:
        inside.enter_context(gate.enter(scope(text)))
        assert refusal(gate, text).code == "door.too-many-at-once"
        inside.enter_context(gate.enter(scope()))
        inside.enter_context(gate.enter(scope()))
        refused = refusal(gate, address="10.0.0.2")
        assert (refused.code, get_status(refused)) == ("door.busy", 503)
    with contextlib.suppress(ZeroDivisionError), gate.enter(scope(text)):
        raise ZeroDivisionError
    assert enter(gate, text)
    assert gate._inside == 0


def test_callers_are_forgotten_but_not_those_inside(monkeypatch):
    monkeypatch.setattr(gates, "_REMEMBERED", 3)
    gate = Gate(GateRules(anonymous_at_once=1))
    with gate.enter(scope(address="first")):
        for number in range(10):
            enter(gate, address=f"other {number}")
        assert len(gate._allowances) == 3
        assert refusal(gate, address="first").code == "door.too-many-at-once"
