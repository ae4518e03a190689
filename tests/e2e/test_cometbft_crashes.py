"""An application that dies at every point of a block, and one that went astray: real engines."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import subprocess

import pytest

from probatum.consensus.chain.memory_store import MemoryStore
from probatum.consensus.cometbft.adapter import Adapter
from probatum.consensus.cometbft.parts import Timestamp
from probatum.consensus.cometbft.server import Server
from probatum.errors import Refusal
from probatum.ops.cometbft import find_cometbft
from tests.engines import RealEngine, until
from tests.validators import consensus_signer, make_test_validator_genesis

pytestmark = pytest.mark.e2e
ONE = make_test_validator_genesis(validators=1, accounts=2)
FOUR = make_test_validator_genesis(validators=4, accounts=4)


@pytest.fixture(scope="module")
def program():
    try:
        return find_cometbft()
    except Refusal as refusal:
        pytest.skip(str(refusal))


class Dead(Exception):
    """The application's process is gone."""


class Mortal:
    """An application over a store that outlives it; dies once, where it is told to."""

    def __init__(self, store, genesis, *, dies="", at=0, strays_at=0):
        self.store, self.dies, self.at, self.strays_at = store, dies, at, strays_at
        self.inner = Adapter(store=store, genesis=genesis)
        self.hashes = {}

    def __getattr__(self, name):
        return getattr(self.inner, name)

    @property
    def height(self):
        return self.inner.tip.height

    def die(self, where, height):
        if self.dies == where and height == self.at:
            raise Dead(where)

    def prepare_proposal(self, request):
        self.die("when it proposes", request.height)
        return self.inner.prepare_proposal(request)

    def finalize_block(self, request):
        self.die("before it has applied", request.height)
        if request.height == self.strays_at:
            later = Timestamp(seconds=request.time.seconds + 1, nanos=request.time.nanos)
            request = dataclasses.replace(request, time=later)
        said = self.inner.finalize_block(request)
        self.hashes[request.height] = said.app_hash
        self.die("before it answers what it applied", request.height)
        return said

    def commit(self, request):
        height = self.height + 1
        self.die("before it has written", height)
        said = self.inner.commit(request)
        self.die("when it has written", height)
        return said


POINTS = (
    "when it proposes",
    "before it has applied",
    "before it answers what it applied",
    "before it has written",
    "when it has written",
)


def test_an_application_that_dies_anywhere_goes_on_where_its_store_stands(program, tmp_path):
    async def scenario():
        store, hashes = MemoryStore(), {}
        home = tmp_path / "v0"
        home.mkdir()
        engine = RealEngine(program, home, 0, consensus_signer(0))
        engine.write(ONE, [engine.peer], block_interval_ms=50)
        try:
            for number, point in enumerate(POINTS):
                app = Mortal(store, ONE, dies=point, at=4 + 4 * number)
                server = Server(app)
                await server.open(engine.socket)
                engine.start()
                with pytest.raises(Dead, match=point):
                    await asyncio.wait_for(server.wait(), 30)
                await until(lambda: not engine.is_running)
                assert engine.process.returncode == 0, "the engine calls that an orderly end"
                await server.close()
                merge(hashes, app.hashes)
            app = Mortal(store, ONE)
            server = Server(app)
            await server.open(engine.socket)
            engine.start()
            await until(lambda: app.height > 4 * len(POINTS) + 4)
            merge(hashes, app.hashes)
            assert sorted(hashes) == list(range(1, max(hashes) + 1))
        finally:
            engine.stop(signal.SIGKILL)
            await server.close()

    asyncio.run(asyncio.wait_for(scenario(), 200))


def merge(hashes, more):
    """What was applied again came to the same."""
    assert {h: more[h] for h in more if h in hashes} == {h: hashes[h] for h in more if h in hashes}
    hashes.update(more)


def test_a_node_that_went_astray_is_taken_back_a_block_and_follows(program, tmp_path):
    """It stands still at its own wrong hash, healthy as far as the engine says; then the repair."""

    async def scenario():
        apps = [Mortal(MemoryStore(), FOUR) for _ in range(3)]
        apps.append(Mortal(MemoryStore(), FOUR, strays_at=5))
        engines, servers = [], []
        try:
            for number, app in enumerate(apps):
                home = tmp_path / f"v{number}"
                home.mkdir()
                engines.append(RealEngine(program, home, number, consensus_signer(number)))
                servers.append(Server(app))
                await servers[-1].open(engines[-1].socket)
            for engine in engines:
                engine.write(FOUR, [one.peer for one in engines], block_interval_ms=100)
                engine.start()
            await until(lambda: min(app.height for app in apps[:3]) >= 9)
            stray, engine = apps[3], engines[3]
            assert stray.height == 5
            assert stray.hashes[5] != apps[0].hashes[5]
            assert engine.is_running
            assert (await engine.ask("health"))["result"] == {}

            await asyncio.to_thread(engine.stop)  # it may be waiting for an answer of ours
            await servers[3].close()
            await asyncio.to_thread(roll_back, engine)
            stray.store.commit(stray.inner.tip.make_rollback_rows())
            apps[3] = mended = Mortal(stray.store, FOUR)
            assert mended.height == 4
            servers[3] = Server(mended)
            await servers[3].open(engine.socket)
            engine.start()
            await until(lambda: mended.height >= 10)
            for height, found in mended.hashes.items():
                if height in apps[0].hashes:
                    assert found == apps[0].hashes[height]
        except BaseException:
            for engine in engines:
                print(engine.home.name, engine.read_log()[-2_000:])
            raise
        finally:
            for engine in engines:
                engine.stop(signal.SIGKILL)
            for server in servers:
                await server.close()

    asyncio.run(asyncio.wait_for(scenario(), 200))


def roll_back(engine):
    words = [engine.program, "rollback", "--home", "engine"]
    subprocess.run(words, cwd=engine.home, check=True, timeout=60, capture_output=True)
