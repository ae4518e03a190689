"""Four real engines, one of whose applications is hostile, and strangers at every RPC."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import signal
from types import SimpleNamespace

import msgspec
import pytest

from probatum.consensus.chain.memory_store import MemoryStore
from probatum.consensus.cometbft import messages as m
from probatum.consensus.cometbft import parts as p
from probatum.consensus.cometbft.adapter import Adapter
from probatum.consensus.cometbft.server import Server
from probatum.consensus.cometbft.undo import load_header
from probatum.consensus.embedded.engine import EmbeddedEngine
from probatum.consensus.tables import BLOCK, height_key
from probatum.errors import Refusal
from probatum.ledger.queries import decode_record
from probatum.ops.cometbft import find_cometbft
from probatum.protocol.blocks import Block
from probatum.protocol.encoding import decode, encode
from probatum.protocol.headers import SignedHeader, compute_header_hash
from probatum.protocol.limits import FRAME_BYTES
from probatum.protocol.records import get_account_key
from probatum.protocol.transactions.kinds import Transfer
from probatum.protocol.transactions.signed import sign_transaction
from probatum.protocol.validators import get_validator_key
from tests.adversary import Adversary
from tests.chain import FEE, account
from tests.comet import NO_SEAL, Comet
from tests.engines import RealEngine, until
from tests.validators import (
    POWER,
    SMALL,
    STAKE,
    consensus_address,
    consensus_key,
    consensus_signer,
    make_test_validator_genesis,
)

pytestmark = pytest.mark.e2e
VALIDATORS = 4
GENESIS = make_test_validator_genesis(
    validators=VALIDATORS,
    accounts=6,
    consensus=msgspec.structs.replace(SMALL, vote_window_blocks=1_000),
)
STRANGERS = (4, 6, 7)
"""Not the validators' own accounts: by those an adversary takes power from the honest ones."""


@pytest.fixture(scope="module")
def program():
    try:
        return find_cometbft()
    except Refusal as refusal:
        pytest.skip(str(refusal))


class Observed:
    """An application, and what it was asked."""

    def __init__(self):
        self.store = MemoryStore()
        self.inner = Adapter(store=self.store, genesis=GENESIS)
        self.blocks, self.answers, self.statuses = {}, {}, []

    def __getattr__(self, name):
        return getattr(self.inner, name)

    @property
    def height(self):
        return self.inner.tip.height

    def process_proposal(self, request):
        said = self.inner.process_proposal(request)
        self.statuses.append(said.status)
        return said

    def finalize_block(self, request):
        said = self.inner.finalize_block(request)
        self.blocks[request.height], self.answers[request.height] = request, said
        return said


class Hostile(Observed):
    """Proposes whatever comes to its mind, and finds every proposal good."""

    def __init__(self, seed):
        super().__init__()
        self.proposed = 0
        self.mind = Adversary(seed, look(self), STRANGERS)

    def prepare_proposal(self, request):
        self.proposed += 1
        room, txs = request.max_tx_bytes, []
        for data in [self.mind.draw_transaction() for _ in range(8)] + [b"\x00"] * 30_000:
            room -= len(data) + 8
            if room < 0:
                break
            txs.append(data)
        return m.ResponsePrepareProposal(txs=tuple(txs))

    def process_proposal(self, request):
        self.inner.process_proposal(request)
        return m.ResponseProcessProposal(status=p.ProposalStatus.ACCEPT)


def look(app):
    """What an adversary sees of a chain."""
    tip = app.inner.tip
    return SimpleNamespace(
        domain=tip.domain,
        tip=tip,
        store=app.store,
        nonce=lambda who: tip.get_account(who.address).nonce,
    )


@contextlib.asynccontextmanager
async def network(program, folder, applications, voters):
    """Engines and their applications, connected to each other."""
    engines, servers = [], []
    try:
        for number, (app, voter) in enumerate(zip(applications, voters, strict=True)):
            home = folder / f"v{number}"
            home.mkdir()
            engines.append(RealEngine(program, home, number, voter))
            servers.append(Server(app))
            await servers[-1].open(engines[-1].socket)
        peers = [engine.peer for engine in engines]
        for engine in engines:
            engine.write(GENESIS, peers, block_interval_ms=200)
            engine.start()
        yield engines
    except BaseException:
        for engine in engines:
            print(engine.home.name, engine.read_log()[-2_000:])
        raise
    finally:
        for engine in engines:
            engine.stop(signal.SIGKILL)
        for server in servers:
            await server.close()


def check_same_chain(applications):
    """Every height that two have is the same, and what was decided leads a fresh one there."""
    first, *others = applications
    least = min(app.height for app in applications)
    for app in others:
        for height in range(1, least + 1):
            assert app.blocks[height] == first.blocks[height]
            assert app.answers[height] == first.answers[height]
    fresh = Comet(GENESIS)
    for height in range(1, first.height + 1):
        assert fresh.decide(first.blocks[height]) == first.answers[height]
    assert fresh.info() == (first.height, first.inner.tip.app_hash)
    assert fresh.records() == dict(first.store.scan("record", b"", b"", 100_000))
    check_embedded(first)


def check_embedded(app):
    """The embedded engine comes to the same state and hash at every height, given the blocks."""
    store = MemoryStore()
    engine = EmbeddedEngine.open(store=store, genesis=GENESIS)
    for height in range(1, app.height + 1):
        header = load_header(app.store, height)
        data = app.store.get(BLOCK, height_key(height))
        block = decode(Block, data, limit_bytes=FRAME_BYTES)
        decided = engine.replay(SignedHeader(header=header, seal=NO_SEAL), block)
        store.commit(decided.rows)
        engine.finish(decided)
        assert compute_header_hash(decided.header.header) == app.answers[height].app_hash
    assert list(store.scan("record", b"", b"", 100_000)) == list(
        app.store.scan("record", b"", b"", 100_000)
    )


def test_a_hostile_proposer_and_strangers_change_nothing_that_they_may_not(program, tmp_path):
    async def scenario():
        honest = [Observed() for _ in range(VALIDATORS - 1)]
        hostile = Hostile(7)
        applications = [*honest, hostile]
        voters = [consensus_signer(n) for n in range(VALIDATORS)]
        async with network(program, tmp_path, applications, voters) as engines:
            await until(lambda: min(app.height for app in applications) >= 2)
            await annoy(engines, honest[0])
            await pay(engines, honest)
            await until(lambda: hostile.proposed >= 3)
            before = honest[0].height
            await until(lambda: min(app.height for app in applications) >= before + 3)
            assert all(engine.is_running for engine in engines)
            for app in honest:
                assert p.ProposalStatus.REJECT in app.statuses, "the hostile ones"
                assert app.statuses.count(p.ProposalStatus.ACCEPT) >= before // 2
            seats = (await engines[0].ask("validators"))["result"]["validators"]
            assert [seat["voting_power"] for seat in seats] == [str(POWER)] * VALIDATORS
            codes = {r.code for said in honest[0].answers.values() for r in said.tx_results}
            assert codes <= {0, 1}, "nothing free of charge was decided"
            await check_engines_header(engines[0], honest[0])
        check_same_chain(applications)

    asyncio.run(asyncio.wait_for(scenario(), 240))


class Twin(Observed):
    """One of two machines that hold the same consensus key; each proposes blocks of its own."""

    def __init__(self, proposes):
        super().__init__()
        self.proposes = proposes

    def prepare_proposal(self, request):
        """A good block all the same: others accept either."""
        self.inner.prepare_proposal(request)
        if not self.proposes:
            return m.ResponsePrepareProposal()
        tip, payer = self.inner.tip, account(5)
        body = Transfer(to=account(6).address, amount=1)
        nonce = tip.get_account(payer.address).nonce
        signed = sign_transaction(tip.domain, payer, nonce=nonce, fee_units=FEE, body=body)
        return m.ResponsePrepareProposal(txs=(encode(signed),))


def test_who_signs_twice_is_slashed_by_every_node(program, tmp_path):
    """A consensus key on two machines: the engines find the two votes, the ledger burns stake."""

    async def scenario():
        honest = [Observed() for _ in range(VALIDATORS - 1)]
        twins = [Twin(proposes=True), Twin(proposes=False)]
        voters = [consensus_signer(n) for n in (0, 1, 2, 3, 3)]
        key, address = consensus_key(3), consensus_address(3)
        async with network(program, tmp_path, [*honest, *twins], voters) as engines:
            await until(lambda: find_offences(honest[0], address), within_s=120)
            height = find_offences(honest[0], address)[0]
            await until(lambda: min(app.height for app in honest) >= height + 5)
            told = honest[0].answers[height].validator_updates
            assert p.ValidatorUpdate(pub_key=p.PublicKey(ed25519=key)) in told
            for app in honest:
                record = decode_record(
                    get_validator_key(account(3).address),
                    app.inner.tip.records.get(get_validator_key(account(3).address)),
                )
                assert record.tombstoned_at == height
                assert record.bonded < STAKE
            seats = await engines[0].ask("validators")
            assert seats["result"]["total"] == "3"
            assert all(engine.is_running for engine in engines[:3])
        check_same_chain(honest)

    asyncio.run(asyncio.wait_for(scenario(), 240))


def find_offences(app, address):
    """Heights of blocks that hold proof that a validator signed twice."""
    return [
        height
        for height, block in sorted(app.blocks.items())
        for found in block.misbehavior
        if found.type == p.MisbehaviorType.DUPLICATE_VOTE and found.validator.address == address
        if height in app.answers
    ]


async def annoy(engines, app):
    """Strangers' transactions and questions, at every engine's RPC."""
    mind = Adversary(11, look(app), STRANGERS)

    async def one(engine):
        for _ in range(25):
            data = base64.b64encode(mind.draw_transaction()).decode()
            await engine.ask(mind.dice.choice(("broadcast_tx_sync", "check_tx")), tx=data)
            query = mind.draw_query()
            said = await engine.ask(
                "abci_query", path=query.path, data=query.data.hex(), height=str(query.height)
            )
            assert "result" in said or "error" in said
            path = "0x" + mind.dice.randbytes(9).hex()
            said = await engine.ask_by_address(
                "abci_query", path=path, data="0x" + data[:2].encode().hex()
            )
            assert said["result"]["response"]["codespace"].startswith("abci.")

    await asyncio.gather(*(one(engine) for engine in engines))


async def pay(engines, honest):
    """An honest customer is served all the same."""
    payer, payee = account(5), account(9)
    key = get_account_key(payee.address)
    before = [app.inner.tip.records.get(key) for app in honest]
    nonce = honest[0].inner.tip.get_account(payer.address).nonce
    body = Transfer(to=payee.address, amount=5)
    signed = sign_transaction(
        honest[0].inner.tip.domain, payer, nonce=nonce, fee_units=FEE, body=body
    )
    said = await engines[1].ask("broadcast_tx_sync", tx=base64.b64encode(encode(signed)).decode())
    assert said["result"]["code"] == 0
    await until(
        lambda: all(
            app.inner.tip.records.get(key) != was for app, was in zip(honest, before, strict=True)
        )
    )


async def check_engines_header(engine, app):
    """The engine's next header carries the hash of ours."""
    for height in (2, app.height - 2):
        told = await engine.ask("header", height=str(height + 1))
        carried = bytes.fromhex(told["result"]["header"]["app_hash"])
        assert carried == app.answers[height].app_hash
