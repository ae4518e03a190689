"""Snapshots: cut by one, proven by another, whatever peers send (`SNAP-1`)."""

import asyncio
import dataclasses

import msgspec
import pytest

from probatum.consensus.chain.memory_store import MemoryStore
from probatum.consensus.cometbft.adapter_settings import AdapterSettings
from probatum.consensus.cometbft.cutting import cut_parts
from probatum.consensus.cometbft.messages import (
    RequestApplySnapshotChunk,
    RequestListSnapshots,
    RequestLoadSnapshotChunk,
    RequestOfferSnapshot,
)
from probatum.consensus.cometbft.parts import ApplySnapshotResult as Applied
from probatum.consensus.cometbft.parts import OfferSnapshotResult as Offered
from probatum.consensus.cometbft.snapshot_calls import Kept
from probatum.consensus.cometbft.snapshots import SnapshotHead
from probatum.consensus.tables import TABLES
from probatum.errors import Refusal
from probatum.protocol.encoding import decode, decode_document, encode
from probatum.protocol.hashing import sha256
from probatum.protocol.mapproof import StateProof, check_state_proof
from probatum.protocol.transactions.kinds import FundEscrow, Transfer
from tests.chain import FEE, account
from tests.comet import Comet

PAY = Transfer(to=account(1).address, amount=5)


def dump(store):
    return {table: dict(store.scan(table, b"", b"", 1_000_000)) for table in TABLES}


class Shelf:
    """One snapshot, of wherever a chain stands now."""

    def __init__(self, comet, *, chunk_bytes=300, records=None):
        records = comet.records() if records is None else records
        cut = list(cut_parts(records.items, chunk_bytes=chunk_bytes))
        self.chunks = [chunk for part, chunk in cut if not part.is_empty]
        self.head = SnapshotHead(header=comet.tip.header, parts=tuple(part for part, _ in cut))

    def list_kept(self):
        metadata = encode(self.head)
        height = self.head.header.height
        return (Kept(height=height, chunks=len(self.chunks), metadata=metadata),)

    def load(self, height, chunk):
        here = height == self.head.header.height and chunk < len(self.chunks)
        return self.chunks[chunk] if here else None


@pytest.fixture
def giver():
    comet = Comet()
    comet.do(account(0), FundEscrow(payee=account(3).address, amount=FEE))
    for number in range(60, 80):
        comet.do(account(0), Transfer(to=account(number).address, amount=number))
        comet.seal()
    return comet


def fresh():
    """A node without a past; the engine has not said InitChain, as in state sync."""
    comet = object.__new__(Comet)
    comet.genesis = Comet().genesis
    comet.store, comet.settings = MemoryStore(), {}
    comet.restart()
    return comet


def offer(taker, shelf, app_hash, **changes):
    (shown,) = Comet(shelf=shelf).adapter.list_snapshots(RequestListSnapshots()).snapshots
    shown = dataclasses.replace(shown, **changes)
    return taker.adapter.offer_snapshot(RequestOfferSnapshot(snapshot=shown, app_hash=app_hash))


def apply(taker, index, chunk, sender="peer"):
    return taker.adapter.apply_snapshot_chunk(
        RequestApplySnapshotChunk(index=index, chunk=chunk, sender=sender)
    )


def restore(taker, shelf, app_hash):
    assert offer(taker, shelf, app_hash).result == Offered.ACCEPT
    answers = [apply(taker, index, chunk) for index, chunk in enumerate(shelf.chunks)]
    return [answer.result for answer in answers]


def test_a_restored_node_stands_where_the_other_stood_and_goes_on_alike(giver):
    shelf, taker = Shelf(giver), fresh()
    assert len(shelf.chunks) > 3
    assert set(restore(taker, shelf, giver.tip.app_hash)) == {Applied.ACCEPT}
    assert taker.info() == giver.info()
    assert taker.records() == giver.records()
    assert taker.restart().info() == giver.info()
    assert taker.sealed.height == 0
    for number in range(3):
        giver.check(giver.make(account(1), PAY))
        block = giver.propose(proposer=number)
        giver.decide(block)
        taker.decided = giver.decided[:-1]
        assert taker.finalize(block).app_hash == giver.tip.app_hash
        taker.commit()
        giver.seal()
        assert taker.seal()
        root = taker.sealed.last_header.header.state_root
        for item in taker.sealed.get_items((b"supply", b"none"), prove=True):
            proof = decode_document(StateProof, item.proof, limit_bytes=1 << 20)
            assert check_state_proof(root, item.key, proof) == item.value
        items, _ = taker.sealed.list_escrows(account(3).address, b"", 5)
        assert len(items) == 1
    assert taker.sealed.height == taker.tip.height - 1
    assert taker.records() == giver.records()
    meta = [row for row in dump(taker.store)["meta"] if row.startswith(b"party/")]
    assert meta == [row for row in dump(giver.store)["meta"] if row.startswith(b"party/")]


def test_a_restored_node_tells_of_no_state_before_its_seal_and_takes_nothing_back(giver):
    taker = fresh()
    restore(taker, Shelf(giver), giver.tip.app_hash)
    for _ in range(2):
        for do, code in (
            (lambda: taker.sealed.get_items((b"supply",), prove=True), "full.catching-up"),
            (taker.tip.make_rollback_rows, "consensus.cannot-undo"),
        ):
            with pytest.raises(Refusal) as caught:
                do()
            assert caught.value.code == code
        taker.restart()


def test_chunks_are_given_by_height_format_and_number(giver):
    shelf = Shelf(giver)
    asked = Comet(shelf=shelf).adapter
    height = giver.tip.height

    def load(**said):
        request = {"height": height, "format": 2, "chunk": 0, **said}
        return asked.load_snapshot_chunk(RequestLoadSnapshotChunk(**request)).chunk

    assert load() == shelf.chunks[0]
    assert load(chunk=len(shelf.chunks)) == load(format=1) == load(height=height + 1) == b""
    assert giver.adapter.list_snapshots(RequestListSnapshots()).snapshots == ()
    assert giver.adapter.load_snapshot_chunk(RequestLoadSnapshotChunk(height=1)).chunk == b""


def test_a_snapshot_of_another_header_is_rejected(giver):
    shelf, taker = Shelf(giver), fresh()
    before = dump(taker.store)
    app_hash = giver.tip.app_hash
    assert offer(taker, shelf, bytes(32)).result == Offered.REJECT
    assert offer(taker, shelf, app_hash, height=3).result == Offered.REJECT
    assert offer(taker, shelf, app_hash, chunks=1).result == Offered.REJECT
    assert offer(taker, shelf, app_hash, hash=bytes(32)).result == Offered.REJECT
    assert offer(taker, shelf, app_hash, metadata=b"?").result == Offered.REJECT
    assert offer(taker, shelf, app_hash, format=1).result == Offered.REJECT_FORMAT
    other = msgspec.structs.replace(shelf.head.header, genesis_hash=sha256(b"another"))
    shelf.head = msgspec.structs.replace(shelf.head, header=other)
    assert offer(taker, shelf, app_hash).result == Offered.REJECT
    assert taker.adapter.offer_snapshot(RequestOfferSnapshot()).result == Offered.ABORT
    assert dump(taker.store) == before
    assert apply(taker, 0, b"").result == Applied.ABORT


def test_an_old_snapshot_is_rejected_and_named(giver):
    shelf, height, told = Shelf(giver), giver.tip.height, []
    for oldest, answer in ((height + 1, Offered.REJECT), (height, Offered.ACCEPT)):
        taker = fresh()
        settings = AdapterSettings(oldest_snapshot=oldest)
        taker.settings = {"settings": settings, "tell": told.append}
        taker.restart()
        assert offer(taker, shelf, giver.tip.app_hash).result == answer
    assert [refusal.code for refusal in told] == ["snapshot.too-old"]


def test_a_node_with_a_past_restores_nothing(giver):
    shelf = Shelf(giver)
    assert offer(giver, shelf, giver.tip.app_hash).result == Offered.ABORT


def test_a_tampered_chunk_is_fetched_again_from_another(giver):
    shelf, taker = Shelf(giver), fresh()
    offer(taker, shelf, giver.tip.app_hash)
    first = shelf.chunks[0]
    for bad in (b"", shelf.chunks[1], first[:-1] + bytes((first[-1] ^ 1,))):
        said = apply(taker, 0, bad, sender="liar")
        assert (said.result, said.refetch_chunks) == (Applied.RETRY, (0,))
        assert said.reject_senders == ("liar",)
    assert apply(taker, 1, shelf.chunks[1]).refetch_chunks == (0,)
    results = [apply(taker, index, chunk).result for index, chunk in enumerate(shelf.chunks)]
    assert set(results) == {Applied.ACCEPT}
    assert taker.info() == giver.info()


def lie(giver, change):
    records = giver.records()
    change(records)
    return Shelf(giver, records=records)


@pytest.mark.parametrize(
    "change",
    [
        lambda records: records.pop(sorted(records)[3]),
        lambda records: records.update({b"account/more": b"1"}),
        lambda records: records.update({min(records): b"?"}),
    ],
)
def test_a_snapshot_of_another_state_is_known_before_anything_is_fetched(giver, change):
    shelf, taker, told = lie(giver, change), fresh(), []
    taker.settings = {"tell": told.append}
    taker.restart()
    before = dump(taker.store)
    assert offer(taker, shelf, giver.tip.app_hash).result == Offered.REJECT
    assert [refusal.code for refusal in told] == ["snapshot.other-root"]
    assert dump(taker.store) == before
    assert taker.info() == Comet().info()
    for block in giver.decided:
        taker.finalize(block)
        taker.commit()
    assert taker.info() == giver.info()


def test_parts_in_another_order_are_another_state(giver):
    shelf, taker = Shelf(giver), fresh()
    parts = shelf.head.parts
    for odd in (parts[::-1], parts[1:], (*parts, parts[0]), (*parts[:-1], parts[0])):
        shelf.head = msgspec.structs.replace(shelf.head, parts=odd)
        assert offer(taker, shelf, giver.tip.app_hash).result == Offered.REJECT


def test_a_chunk_is_taken_later_where_it_is_worked_on_beside(giver):
    """As in a node: its event loop goes on, and what others ask of the state waits."""
    shelf, jobs = Shelf(giver), []

    async def work(job):
        jobs.append(job)
        job()

    taker = fresh()
    taker.settings = {"work": work}
    taker.restart()
    assert offer(taker, shelf, giver.tip.app_hash).result == Offered.ACCEPT
    bad = asyncio.run(apply(taker, 0, b"?", sender="liar"))
    assert (bad.result, bad.reject_senders) == (Applied.RETRY, ("liar",))
    for index, chunk in enumerate(shelf.chunks):
        with pytest.raises(Refusal) as caught:
            taker.sealed.get_items((b"supply",), prove=False)
        assert caught.value.code == "full.catching-up"
        assert asyncio.run(apply(taker, index, chunk)).result == Applied.ACCEPT
    assert len(jobs) == len(shelf.chunks) + 1
    assert taker.info() == giver.info()


@pytest.mark.parametrize("death", ["application", "engine"])
def test_an_engine_that_died_before_it_noted_a_snapshot_restores_again(giver, death):
    taker, other = fresh(), fresh()
    restore(taker, Shelf(giver), giver.tip.app_hash)
    giver.do(account(1), PAY)
    if death == "application":
        taker.restart()
    else:
        taker.adapter.reconnected()
    for one in (taker, other):
        assert set(restore(one, Shelf(giver), giver.tip.app_hash)) == {Applied.ACCEPT}
        assert one.info() == giver.info()
    assert dump(taker.store) == dump(other.store)
    # Its first block makes it one with a past.
    taker.finalize(giver.make_block([]))
    taker.commit()
    assert offer(taker, Shelf(giver), giver.tip.app_hash).result == Offered.ABORT


@pytest.mark.parametrize("death", ["application", "engine"])
def test_a_death_in_the_middle_leaves_a_node_without_a_past(giver, death):
    shelf, taker = Shelf(giver), fresh()
    before = dump(taker.store)
    offer(taker, shelf, giver.tip.app_hash)
    for index, chunk in enumerate(shelf.chunks[:-1]):
        apply(taker, index, chunk)
    if death == "application":
        taker.restart()
    else:
        taker.adapter.reconnected()
    assert dump(taker.store) == before
    assert apply(taker, len(shelf.chunks) - 1, shelf.chunks[-1]).result == Applied.ABORT
    assert set(restore(taker, shelf, giver.tip.app_hash)) == {Applied.ACCEPT}
    assert taker.info() == giver.info()


def test_a_death_while_a_store_is_emptied_is_mended(giver):
    shelf, taker = Shelf(giver), fresh()
    before = dump(taker.store)
    offer(taker, shelf, giver.tip.app_hash)
    apply(taker, 0, shelf.chunks[0])
    taker.store.commit([("meta", b"format", None), ("meta", b"genesis", None)])
    assert dump(taker.restart().store) == before


def test_metadata_is_read_strictly(giver):
    metadata = encode(Shelf(giver).head)
    assert encode(decode(SnapshotHead, metadata, limit_bytes=1 << 20)) == metadata
    taker = fresh()
    empty = encode(msgspec.structs.replace(Shelf(giver).head, parts=()))
    said = offer(taker, Shelf(giver), giver.tip.app_hash, metadata=empty, hash=sha256(empty))
    assert said.result == Offered.REJECT
