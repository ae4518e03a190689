"""API keys: shown once, kept as hashes, changed while the node runs."""

import hashlib
import json
import re

import pytest

from probatum.errors import Fault, Refusal
from probatum.nodes.shell.api_keys import (
    ApiKeys,
    add_key,
    load_keys,
    looks_like_key,
    revoke_key,
    set_budget,
)


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


def test_the_key_itself_is_nowhere_on_the_disk(tmp_path):
    text, key = add_key(tmp_path, label="alice", per_s=2.5, at_once=3)
    assert re.fullmatch(r"pb-[a-z2-7]{8}-[A-Za-z0-9_-]{43}", text)
    assert looks_like_key(text)
    path = tmp_path / "api-keys.json"
    assert path.stat().st_mode & 0o777 == 0o600
    written = path.read_text()
    assert text[12:] not in written
    assert key.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert load_keys(tmp_path) == (key,)
    assert (key.per_s, key.at_once, key.label, key.revoked) == (2.5, 3, "alice", False)


def test_only_the_whole_key_finds_it(tmp_path):
    text, key = add_key(tmp_path)
    other, _ = add_key(tmp_path)
    keys = ApiKeys(tmp_path)
    assert keys.find(text) == key
    assert keys.find(text[:12] + other[12:]) is None
    for wrong in ("", "sk-123", text[:-1], text + "A", text.upper(), f"Bearer {text}"):
        assert keys.find(wrong) is None


def test_changes_are_seen_while_it_runs(tmp_path):
    clock, said = Clock(), []
    keys = ApiKeys(tmp_path, clock_s=clock, complain=lambda *words: said.append(words))
    text, key = add_key(tmp_path)
    assert keys.find(text) is None, "not looked at again yet"
    clock.now_s = 1.5
    assert keys.find(text) == key
    revoke_key(tmp_path, key.id)
    clock.now_s = 3
    assert keys.find(text).revoked
    # What cannot be read changes nothing, and is said.
    (tmp_path / "api-keys.json").write_text("{")
    clock.now_s = 5
    assert keys.find(text).revoked
    assert [code for code, _ in said] == ["api-key.malformed"]


def test_a_revoked_key_stays_in_the_list(tmp_path):
    _, key = add_key(tmp_path)
    assert revoke_key(tmp_path, key.id).revoked
    assert [one.id for one in load_keys(tmp_path)] == [key.id]
    with pytest.raises(Refusal, match="no key 'zzz'"):
        revoke_key(tmp_path, "zzz")


@pytest.mark.parametrize(
    "limit", [{"per_s": 0}, {"per_s": -1}, {"at_once": 0}, {"label": "x" * 101}]
)
def test_limits_that_are_none_are_refused(tmp_path, limit):
    with pytest.raises(Refusal) as caught:
        add_key(tmp_path, **limit)
    assert caught.value.code == "api-key.bad-limit"
    assert load_keys(tmp_path) == ()


def test_files_that_are_none_are_refused(tmp_path):
    add_key(tmp_path)
    path = tmp_path / "api-keys.json"
    file = json.loads(path.read_text())
    twice = file | {"keys": file["keys"] * 2}
    for data in (b"", b"[]", b"\xff", json.dumps(twice).encode(), b" " * (3 << 20)):
        path.write_bytes(data)
        with pytest.raises(Refusal) as caught:
            load_keys(tmp_path)
        assert caught.value.code == "api-key.malformed"
    for mode in (0o640, 0o604, 0o622):
        path.chmod(mode)
        with pytest.raises(Refusal) as caught:
            ApiKeys(tmp_path)
        assert caught.value.code == "api-key.loose-file"
    path.unlink()
    path.mkdir()
    with pytest.raises(Fault):
        load_keys(tmp_path)


def test_a_key_has_a_budget_that_may_be_changed_and_ends_with_it(tmp_path):
    _, key = add_key(tmp_path, budget_units=5)
    now = [0.0]
    keys = ApiKeys(tmp_path, clock_s=lambda: now[0])
    assert keys.get_budget(f"key:{key.id}") == 5
    assert keys.get_budget("key:aaaaaaaa") == keys.get_budget("") == 0
    set_budget(tmp_path, key.id, 70)
    now[0] += 2
    assert keys.get_budget(f"key:{key.id}") == 70
    revoke_key(tmp_path, key.id)
    now[0] += 2
    assert keys.get_budget(f"key:{key.id}") == 0
    with pytest.raises(Refusal) as caught:
        set_budget(tmp_path, key.id, -1)
    assert caught.value.code == "api-key.bad-limit"
