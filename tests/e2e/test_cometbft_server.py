"""The ABCI server under a real CometBFT: blocks, strangers' bytes, a kill, a broken application."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import signal
import socket
import subprocess
import urllib.parse
import urllib.request

import pytest

from probatum.consensus.cometbft import messages as m
from probatum.consensus.cometbft import parts as p
from probatum.consensus.cometbft.server import Server
from probatum.errors import Refusal
from probatum.ops.cometbft import find_cometbft

pytestmark = pytest.mark.e2e
UNSUPPORTED = 1


@pytest.fixture(scope="module")
def program():
    try:
        return find_cometbft()
    except Refusal as refusal:
        pytest.skip(str(refusal))


class Chain:
    """The smallest application: its hash is that of everything that was ever in a block."""

    def __init__(self):
        self.height, self.hash, self.txs = 0, b"", []
        self.waiting = None
        self.begun = None
        self.blocks = []
        self.reconnections = 0
        self.poison = None

    def reconnected(self):
        self.waiting = None
        self.reconnections += 1

    def info(self, request):
        assert request.version == "0.38.25"
        return m.ResponseInfo(
            app_version=0, last_block_height=self.height, last_block_app_hash=self.hash
        )

    def init_chain(self, request):
        self.begun = request
        return m.ResponseInitChain()

    def query(self, request):
        return m.ResponseQuery(code=UNSUPPORTED, log=f"no path {request.path!r}", index=-1)

    def check_tx(self, request):
        if request.tx == self.poison:
            raise ValueError("a bug of the application")
        return m.ResponseCheckTx(code=0 if request.tx else 1)

    def prepare_proposal(self, request):
        return m.ResponsePrepareProposal(txs=request.txs)

    def process_proposal(self, request):
        return m.ResponseProcessProposal(status=p.ProposalStatus.ACCEPT)

    def finalize_block(self, request):
        assert request.height == self.height + 1
        digest = hashlib.sha256(self.hash)
        for tx in request.txs:
            digest.update(hashlib.sha256(tx).digest())
        self.waiting = request, digest.digest()
        results = tuple(p.ExecTxResult(data=tx[:8], gas_used=len(tx)) for tx in request.txs)
        return m.ResponseFinalizeBlock(tx_results=results, app_hash=self.waiting[1])

    async def commit(self, request):
        await asyncio.sleep(0.001)
        block, self.hash = self.waiting
        self.height = block.height
        self.blocks.append(block)
        self.txs += block.txs
        self.waiting = None
        return m.ResponseCommit()

    def __getattr__(self, name):
        def unused(request):
            raise AssertionError(name)

        return unused


class Engine:
    """A real engine, its home and its RPC."""

    def __init__(self, program, home):
        self.program, self.home = str(program), home
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.run("init")
        self.process = None

    def run(self, *words):
        subprocess.run([self.program, *words, "--home", self.home], check=True, timeout=60)

    def start(self):
        rpc = f"tcp://127.0.0.1:{self.port}"
        words = f"node --proxy_app unix://abci.sock --p2p.laddr tcp://127.0.0.1:0 --rpc.laddr {rpc}"
        self.process = subprocess.Popen(
            [self.program, *words.split(), "--home", self.home],
            cwd=self.home,
            env={**os.environ, "CMT_CONSENSUS_TIMEOUT_COMMIT": "100ms"},
            stdout=self.home.joinpath("log").open("ab"),
            stderr=subprocess.STDOUT,
        )

    def stop(self, how=signal.SIGTERM):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(20)

    async def ask(self, call, /, **arguments):
        def ask():
            url = f"http://127.0.0.1:{self.port}/{call}?{urllib.parse.urlencode(arguments)}"
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["result"]

        return await asyncio.to_thread(ask)


async def until(condition, *, within_s=60):
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - what it waits for tells nobody
            await asyncio.sleep(0.02)


def test_a_real_engine_is_served(program, tmp_path):
    async def scenario():
        engine, chain = Engine(program, tmp_path), Chain()
        server = Server(chain)
        await server.open(tmp_path / "abci.sock")
        try:
            engine.start()
            await until(lambda: chain.height >= 3)
            assert server.connections == 4
            assert chain.reconnections == 1
            check_genesis(chain, tmp_path)
            await check_transactions(engine, chain)
            await check_strangers(engine, chain)
            await check_killed_engine(engine, server, chain)
            await check_broken_application(engine, server, chain)
        except BaseException:
            print(tmp_path.joinpath("log").read_text()[-4_000:])
            raise
        finally:
            engine.stop(signal.SIGKILL)
            await server.close()

    asyncio.run(asyncio.wait_for(scenario(), 200))


def check_genesis(chain, home):
    """What it said at the beginning is what its files say."""
    told = json.loads(home.joinpath("config/genesis.json").read_text())
    begun = chain.begun
    assert begun.chain_id == told["chain_id"]
    assert begun.initial_height == 1
    assert begun.consensus_params.validator == p.ValidatorParams(pub_key_types=("ed25519",))
    assert begun.consensus_params.evidence.max_age_duration == p.Duration(seconds=48 * 3_600)
    (validator,) = told["validators"]
    key = base64.b64decode(validator["pub_key"]["value"])
    update = p.ValidatorUpdate(pub_key=p.PublicKey(ed25519=key), power=10)
    assert begun.validators == (update,)
    first, second = chain.blocks[:2]
    assert first.decided_last_commit == p.CommitInfo()
    address = hashlib.sha256(key).digest()[:20]
    assert second.proposer_address == address
    (vote,) = second.decided_last_commit.votes
    assert vote.validator == p.Validator(address=address, power=10)
    assert vote.block_id_flag == p.BlockIDFlag.COMMIT
    assert second.time.ms > first.time.ms > 0


async def check_transactions(engine, chain):
    sent = [b"tx-%d-" % number + os.urandom(100) for number in range(50)]
    for tx in sent:
        said = await engine.ask("broadcast_tx_sync", tx="0x" + tx.hex())
        assert said["code"] == 0
    await until(lambda: len(chain.txs) == 50)
    assert sorted(chain.txs) == sorted(sent)
    height = next(block.height for block in chain.blocks if sent[0] in block.txs)
    await until(lambda: chain.height > height + 1)
    told = await engine.ask("block_results", height=str(height))
    assert base64.b64decode(told["txs_results"][0]["data"]) == sent[0][:8]
    block = await engine.ask("block", height=str(height))
    assert block["block_id"]["hash"] == chain.blocks[height - 1].hash.hex().upper()


async def check_strangers(engine, chain):
    """Whoever asks for a path that is no text is answered; the engine does not look at it."""
    before = chain.height
    for path in ("0xff00fe", "0xc080", '"store"', "0x" + "ff" * 5_000):
        said = (await engine.ask("abci_query", path=path, data="0x00ff"))["response"]
        assert said["code"] == UNSUPPORTED
        assert said["index"] == "-1"
        assert ("\ufffd" in said["log"]) is path.startswith("0x"), "no text came through as it is"
    await until(lambda: chain.height > before + 1)
    assert chain.reconnections == 1


async def check_killed_engine(engine, server, chain):
    engine.stop(signal.SIGKILL)
    await until(lambda: server.connections == 0)
    before = chain.height
    engine.start()
    await until(lambda: chain.height > before + 2)
    assert chain.reconnections == 2
    assert [block.height for block in chain.blocks] == list(range(1, chain.height + 1))


async def check_broken_application(engine, server, chain):
    """A bug stops the engine (which says that all is well) and whoever waits for the server."""
    chain.poison = b"poison"
    with pytest.raises(OSError):
        await engine.ask("broadcast_tx_sync", tx="0x" + chain.poison.hex())
    with pytest.raises(ValueError, match="a bug of the application"):
        await asyncio.wait_for(server.wait(), 10)
    assert await asyncio.to_thread(engine.process.wait, 20) == 0
    assert "a bug of the application" in await asyncio.to_thread(
        engine.home.joinpath("log").read_text
    )
