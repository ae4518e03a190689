"""Where a full node's ledger stands, read from its disk while it runs and while it does not."""

from __future__ import annotations

import pytest

from probatum.consensus.chain.sqlite_store import SqliteStore
from probatum.errors import Fault
from probatum.ops.kept_tip import read_kept_tip
from probatum.protocol.headers import compute_header_hash
from tests.chain import Chain


def test_it_is_read_beside_who_writes_and_after(tmp_path):
    store = SqliteStore.open(tmp_path / "ledger.sqlite")
    chain = Chain(store=store)
    assert read_kept_tip(tmp_path).height == 0
    for _ in range(3):
        chain.block()
    expected = compute_header_hash(chain.engine.last_header.header)
    before = sorted(path.name for path in tmp_path.iterdir())
    found = read_kept_tip(tmp_path)
    assert (found.height, found.header_hash) == (chain.engine.height, expected)
    assert found.sealed == chain.engine.last_header
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    store.close()
    assert read_kept_tip(tmp_path) == found


def test_no_ledger_and_another_file_are_told(tmp_path):
    with pytest.raises(Fault) as caught:
        read_kept_tip(tmp_path)
    assert caught.value.code == "store.unreadable"
    assert list(tmp_path.iterdir()) == [], "nothing is made"
    (tmp_path / "ledger.sqlite").write_bytes(b"dear all" * 1_000)
    with pytest.raises(Fault):
        read_kept_tip(tmp_path)
