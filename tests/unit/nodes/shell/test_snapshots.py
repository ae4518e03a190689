"""The shelf of snapshots: whole or not there, of one moment, never more than two (`SNAP-1`)."""

import pytest

from probatum.consensus.chain.sqlite_store import SqliteStore
from probatum.consensus.cometbft.messages import RequestListSnapshots, RequestLoadSnapshotChunk
from probatum.errors import Fault
from probatum.nodes.shell.snapshots import SnapshotShelf
from probatum.protocol.hashing import sha256
from probatum.protocol.transactions.kinds import Transfer
from tests.chain import account
from tests.comet import Comet
from tests.unit.consensus.cometbft.test_snapshots import fresh, restore

PAY = Transfer(to=account(1).address, amount=5)


@pytest.fixture
def comet(tmp_path):
    store = SqliteStore.open(tmp_path / "ledger.sqlite")
    yield Comet(store=store)
    store.close()


def test_a_snapshot_is_of_the_moment_at_which_it_was_begun(comet, tmp_path):
    shelf = SnapshotShelf(tmp_path / "snapshots")
    assert shelf.list_kept() == ()
    comet.do(account(0), PAY)
    header, info, frozen = comet.tip.header, comet.info(), comet.store.freeze()
    for _ in range(3):
        comet.do(account(0), PAY)
    shelf.write(header, frozen)
    (kept,) = shelf.list_kept()
    assert (kept.height, kept.chunks) == (1, 1)
    giver = Comet(shelf=shelf).adapter
    (shown,) = giver.list_snapshots(RequestListSnapshots()).snapshots
    assert shown.hash == sha256(shown.metadata)
    asked = RequestLoadSnapshotChunk(height=1, format=2, chunk=0)
    chunk = giver.load_snapshot_chunk(asked).chunk
    assert shelf.load(1, 0) == chunk

    class Given:
        chunks = (chunk,)

        def list_kept(self):
            return shelf.list_kept()

    taker = fresh()
    restore(taker, Given(), info[1])
    assert taker.info() == info


def test_old_snapshots_go(comet, tmp_path):
    shelf = SnapshotShelf(tmp_path / "snapshots", kept=2)
    for _ in range(4):
        comet.block()
        shelf.write(comet.tip.header, comet.store.freeze())
    assert [kept.height for kept in shelf.list_kept()] == [4, 3]
    assert {entry.name for entry in (tmp_path / "snapshots").iterdir()} == {"3", "4"}
    assert shelf.load(1, 0) is None
    assert shelf.load(4, 1) is shelf.load(4, -1) is shelf.load(4, 1 << 40) is None


def test_what_was_not_finished_or_spoiled_is_not_listed(comet, tmp_path):
    folder = tmp_path / "snapshots"
    shelf = SnapshotShelf(folder)
    (folder / "new").mkdir(parents=True)
    (folder / "new" / "00000").write_bytes(b"half")
    (folder / "7").mkdir()
    (folder / "8").mkdir()
    (folder / "8" / "head").write_bytes(b"?")
    assert shelf.list_kept() == ()
    comet.block()
    shelf.write(comet.tip.header, comet.store.freeze())
    assert [kept.height for kept in shelf.list_kept()] == [1]
    assert {entry.name for entry in folder.iterdir()} == {"1"}


def test_a_disk_that_takes_nothing_is_named(comet, tmp_path):
    (tmp_path / "snapshots").write_bytes(b"a file")
    comet.block()
    with pytest.raises(Fault, match="unwritable"):
        SnapshotShelf(tmp_path / "snapshots").write(comet.tip.header, comet.store.freeze())
