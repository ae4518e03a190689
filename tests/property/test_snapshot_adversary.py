"""Snapshots as hostile peers offer them: no answer is an exception, nothing false is restored.

The header is public, so anybody can name it in a snapshot of records of his own; the parts are his,
too. What is left to hold him is the header's state root (`SNAP-1`): a true list of parts can be
offered by a liar as well, with chunks of his own.
"""

from __future__ import annotations

import asyncio
import random
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from probatum.consensus.chain.memory_store import MemoryStore
from probatum.consensus.cometbft import messages as m
from probatum.consensus.cometbft import parts as p
from probatum.consensus.cometbft.adapter import Adapter
from probatum.consensus.cometbft.cutting import Part, cut_parts
from probatum.consensus.cometbft.snapshots import SnapshotHead
from probatum.protocol.encoding import encode
from probatum.protocol.hashing import sha256
from probatum.protocol.transactions.kinds import FundEscrow, Transfer
from tests.chain import FEE, account
from tests.comet import Comet
from tests.validators import make_test_validator_genesis
from tests.wires import Wires

GENESIS = make_test_validator_genesis(validators=3, accounts=4)
ACCEPT, RETRY = p.ApplySnapshotResult.ACCEPT, p.ApplySnapshotResult.RETRY
VALUES = (b"", b"\x91" * 1_000, b"\xdf\xff\xff\xff\xff", b"\x80")


@cache
def make_true_chain():
    comet = Comet(GENESIS)
    comet.do(account(0), FundEscrow(payee=account(3).address, amount=FEE))
    for number in range(60, 70):
        comet.do(account(0), Transfer(to=account(number).address, amount=number))
        comet.seal()
    return comet.tip.header, comet.tip.app_hash, comet.records()


def draw_records(dice):
    """The true records, or some of them, with others beside them and in their place."""
    good = sorted(make_true_chain()[2].items())
    records = dict(good) if dice.random() < 0.7 else {}
    prefixes = sorted({key.split(b"/")[0] + b"/" for key, _ in good})
    for _ in range(dice.choice((0, 0, 1, 3, 6))):
        key, value = dice.choice(good)
        stem = dice.choice(prefixes)
        key = dice.choice((key, key + b"x", key[:-3], stem, stem + dice.randbytes(40)))
        records[key] = dice.choice((*VALUES, value, value[:-1], dice.randbytes(9)))
    return sorted(records.items()) or good[:1]


def draw_cut(dice):
    chunk_bytes = dice.choice((1, 300, 5_000))
    records = draw_records(dice)
    cut = list(cut_parts(lambda: records, chunk_bytes=chunk_bytes))
    parts = [part for part, _ in cut]
    if dice.random() < 0.2:
        true = cut_parts(make_true_chain()[2].items, chunk_bytes=chunk_bytes)
        parts = [part for part, _ in true]
    if dice.random() < 0.1:
        place = dice.randrange(len(parts))
        odd = Part(bits=dice.choice((0, 1, 255)), root=dice.choice(parts).root)
        parts[place : place + dice.randrange(2)] = [odd]
    chunks = [chunk for part, chunk in cut if not part.is_empty]
    for number, chunk in enumerate(chunks):
        if dice.random() < 0.02:
            torn = chunk[:5] + dice.randbytes(4) + chunk[9:]
            chunks[number] = dice.choice((b"", chunk[:-1], chunk + b"\x00", torn, chunks[0]))
    return parts, chunks


def draw_offer(dice, parts):
    header, app_hash, _ = make_true_chain()
    head = SnapshotHead(header=header, parts=tuple(parts))
    count, head = len(head.chunks), encode(head)
    if dice.random() < 0.1:
        head = dice.choice((head[:-1], b"", dice.randbytes(50), head[:40] + head[44:]))
    odd = dice.random() < 0.1
    shown = p.Snapshot(
        height=dice.choice((0, 2**64 - 1)) if odd else header.height,
        format=dice.choice((1, 0, 2**32 - 1)) if odd else 2,
        chunks=count,
        hash=sha256(head),
        metadata=head,
    )
    proven = app_hash if dice.random() < 0.95 else bytes(32)
    return m.RequestOfferSnapshot(snapshot=shown if dice.random() < 0.95 else None, app_hash=proven)


def give(wires, dice, chunks):
    """Give chunks as they are asked for, some of them false, until one side gives up."""
    index = 0
    for _ in range(3 * len(chunks)):
        good = index < len(chunks) and dice.random() < 0.95
        chunk = chunks[index] if good else dice.randbytes(9)
        request = m.RequestApplySnapshotChunk(index=index, chunk=chunk, sender="peer")
        said = wires.ask(request)
        if said.result == RETRY:
            (index,) = said.refetch_chunks
        elif said.result == ACCEPT and index + 1 < len(chunks):
            index += 1
        else:
            return
        if dice.random() < 0.01:
            wires.die()


async def play(seed):
    dice = random.Random(seed)
    header, app_hash, records = make_true_chain()
    store = MemoryStore()
    wires = Wires(Adapter(store=store, genesis=GENESIS))
    for _ in range(dice.randint(1, 3)):
        parts, chunks = draw_cut(dice)
        wires.ask(draw_offer(dice, parts))
        give(wires, dice, chunks)
        wires.ask(m.RequestLoadSnapshotChunk(height=2**64 - 1, format=2, chunk=2**32 - 1))
        wires.ask(m.RequestListSnapshots())
        info = wires.ask(m.RequestInfo())
        if info.last_block_height:
            assert (info.last_block_height, info.last_block_app_hash) == (header.height, app_hash)
            assert dict(store.scan("record", b"", b"", 10_000)) == records
            return True
        reopened = Adapter(store=store, genesis=GENESIS)
        assert reopened.info(m.RequestInfo()).last_block_height == 0
    return False


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_peers_offer_is_the_proven_state_or_nothing(seed):
    asyncio.run(play(seed))


def test_a_true_snapshot_is_among_those_that_were_played():
    """Or the test above would hold for an application that takes none."""
    assert any(asyncio.run(play(seed)) for seed in range(60))
