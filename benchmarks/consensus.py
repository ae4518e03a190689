"""What the ledger costs under CometBFT: the application's CPU, and committed transfers.

First the application alone, by ABCI's calls as an engine makes them, over a store on disk; its peer
is the bare check of the same signatures. Then, where CometBFT is on this machine, real networks of
one and four validators on loopback: transfers handed in over the engines' RPC until all are in
blocks. Both engines and applications share this machine's cores with the loader.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks.ledger_throughput import make_transfers
from benchmarks.measuring import SCRATCH, Row, get_cpu_s, make_row
from probatum.consensus.chain.sqlite_store import SqliteStore
from probatum.consensus.cometbft.adapter import Adapter
from probatum.consensus.cometbft.messages import (
    RequestCheckTx,
    RequestCommit,
    RequestFinalizeBlock,
    RequestPrepareProposal,
    RequestProcessProposal,
)
from probatum.consensus.cometbft.parts import ProposalStatus, Timestamp
from probatum.consensus.cometbft.settings import EngineSettings, Peer
from probatum.errors import Refusal
from probatum.ledger.genesis import Genesis, encode_genesis, get_domain, make_validator_genesis
from probatum.nodes.shell.config import FullConfig, write_config
from probatum.ops.cometbft import find_cometbft
from probatum.ops.engine_homes import create_engine_keys, get_node_id, write_engine_home
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.hashing import sha256
from probatum.protocol.primitives import UNITS_PER_TOKEN, make_consensus_key
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.transactions.signed import check_sender, decode_transaction
from probatum.protocol.validators import compute_consensus_address

ACCOUNTS = 8_000
TRANSFERS = 16_000
PER_BLOCK = 2_000
LINES = 16
BATCH = 10
"""More calls in one request are refused by the engine."""
GOAL_MS = 0.15
GOALS_PER_S = {1: 3_000, 4: 800}
_T = TypeVar("_T")


def make_signers() -> list[AccountSigner]:
    return [AccountSigner(sha256(b"benchmark %d" % n)) for n in range(ACCOUNTS)]


def make_genesis(signers: list[AccountSigner], keys: list[bytes]) -> Genesis:
    return make_validator_genesis(
        chain_id=1337,
        time_ms=time.time_ns() // 10**6 - 1_000,
        validators={
            signers[n].address: (make_consensus_key(key), 10 * UNITS_PER_TOKEN)
            for n, key in enumerate(keys)
        },
        balances={signer.address: 10**12 for signer in signers},
    )


class Application:
    """The application alone, and how much processor time each call took."""

    def __init__(self, path: Path, genesis: Genesis, proposer: bytes) -> None:
        self.store = SqliteStore.open(path)
        self.adapter = Adapter(store=self.store, genesis=genesis)
        self.proposer = proposer
        self.spent: dict[str, float] = {}
        self.seconds = genesis.time_ms // 1_000 + 10

    def spend(self, name: str, call: Callable[[], _T]) -> _T:
        begun = time.process_time()
        value = call()
        self.spent[name] = self.spent.get(name, 0.0) + time.process_time() - begun
        return value

    def block(self, transactions: list[bytes]) -> None:
        app, self.seconds = self.adapter, self.seconds + 1
        moment, height = Timestamp(seconds=self.seconds), app.tip.height + 1

        def check() -> None:
            for data in transactions:
                assert app.check_tx(RequestCheckTx(tx=data)).code == 0

        self.spend("CheckTx", check)
        made = self.spend(
            "a proposal",
            lambda: app.prepare_proposal(
                RequestPrepareProposal(
                    max_tx_bytes=1 << 24,
                    txs=tuple(transactions),
                    height=height,
                    time=moment,
                    proposer_address=self.proposer,
                )
            ),
        )
        assert len(made.txs) == len(transactions)
        judged = self.spend(
            "a proposal",
            lambda: app.process_proposal(
                RequestProcessProposal(
                    txs=made.txs, height=height, time=moment, proposer_address=self.proposer
                )
            ),
        )
        assert judged.status == ProposalStatus.ACCEPT
        block = RequestFinalizeBlock(
            txs=made.txs, height=height, time=moment, proposer_address=self.proposer
        )
        self.spend("FinalizeBlock", lambda: app.finalize_block(block))
        self.spend("Commit", lambda: app.commit(RequestCommit()))


def measure_application(folder: Path, count: int) -> list[Row]:
    signers = make_signers()
    key = OperatingSigner(sha256(b"benchmark validator")).key
    genesis = make_genesis(signers, [key])
    transfers = make_transfers(genesis, signers, count, {})
    begun, domain = time.process_time(), get_domain(genesis)
    for data in transfers[:4_000]:
        check_sender(domain, decode_transaction(data))
    bare = (time.process_time() - begun) / 4_000 * 1_000
    address = compute_consensus_address(make_consensus_key(key))
    app = Application(folder / "ledger.sqlite", genesis, address)
    for start in range(0, count, PER_BLOCK):
        app.block(transfers[start : start + PER_BLOCK])
    app.store.close()
    peer = f"bare signature check {bare:.3f} ms"
    rows = [
        make_row(f"application, {name}", spent / count * 1_000, "ms CPU a transfer")
        for name, spent in app.spent.items()
    ]
    total = sum(app.spent.values()) / count * 1_000
    whole = make_row(
        "application, all calls", total, "ms CPU a transfer", peer=peer, against=bare, goal=GOAL_MS
    )
    return [*rows, whole]


@dataclass(frozen=True, kw_only=True)
class Home:
    """One validator's folder and ports."""

    path: Path
    p2p_port: int
    rpc_port: int


def draw_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def write_homes(
    folder: Path, count: int, signers: list[AccountSigner]
) -> tuple[list[Home], Genesis]:
    homes = [
        Home(path=folder / str(n), p2p_port=draw_port(), rpc_port=draw_port()) for n in range(count)
    ]
    keys = []
    for home in homes:
        home.path.mkdir()
        keys.append(bytes(create_engine_keys(home.path).key))
    genesis = make_genesis(signers, keys)
    for home in homes:
        peers = tuple(
            Peer(id=get_node_id(other.path), host="127.0.0.1", port=other.p2p_port)
            for other in homes
            if other is not home
        )
        settings = EngineSettings(
            moniker=home.path.name, p2p_port=home.p2p_port, rpc_port=home.rpc_port, peers=peers
        )
        write_engine_home(home.path, genesis, settings)
        (home.path / "genesis.json").write_bytes(encode_genesis(genesis))
        write_config(home.path, FullConfig(port=draw_port(), snapshot_blocks=0))
    return homes, genesis


async def ask(port: int, calls: object) -> object:
    """One request of JSON-RPC on a line of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await say(reader, writer, calls)
    finally:
        writer.close()


async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, calls: object) -> object:
    body = json.dumps(calls).encode()
    writer.write(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body) + body
    )
    head = await reader.readuntil(b"\r\n\r\n")
    size = int(head.lower().split(b"content-length:")[1].split()[0])
    return json.loads(await reader.readexactly(size))


def make_call(method: str, number: int = 0, **params: str) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


async def count_waiting(port: int) -> int:
    said = await ask(port, make_call("num_unconfirmed_txs"))
    return int(said["result"]["total"])  # type: ignore[index]


async def wait_for_blocks(port: int) -> None:
    async with asyncio.timeout(120):
        while True:
            try:
                said = await ask(port, make_call("status"))
                if int(said["result"]["sync_info"]["latest_block_height"]) > 1:  # type: ignore[index]
                    return
            except (OSError, KeyError, TypeError, asyncio.IncompleteReadError):
                pass
            await asyncio.sleep(0.2)


async def hand_in(port: int, transactions: list[bytes]) -> None:
    """Hand transactions in, in order; what is refused for want of room is sent again."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    place = 0
    while place < len(transactions):
        some = transactions[place : place + BATCH]
        calls = [
            make_call("broadcast_tx_sync", n, tx=base64.b64encode(data).decode())
            for n, data in enumerate(some)
        ]
        taken = 0
        for answer in await say(reader, writer, calls):  # type: ignore[attr-defined]
            if answer.get("result", {}).get("code") != 0:
                await asyncio.sleep(0.1)
                break
            taken += 1
        place += taken
    writer.close()


async def drive(homes: list[Home], transfers: list[bytes]) -> float:
    """Hand all in and wait until no pool holds any; returns seconds."""
    lanes: list[list[bytes]] = [[] for _ in range(LINES)]
    for number, data in enumerate(transfers):
        lanes[number % ACCOUNTS % LINES].append(data)  # an account's go down one line
    begun = time.perf_counter()
    await asyncio.gather(
        *(hand_in(homes[n % len(homes)].rpc_port, lane) for n, lane in enumerate(lanes))
    )
    while any([await count_waiting(home.rpc_port) for home in homes]):  # noqa: ASYNC110 - no event
        await asyncio.sleep(0.05)
    return time.perf_counter() - begun


def measure_network(program: Path, folder: Path, validators: int, count: int) -> list[Row]:
    signers = make_signers()
    homes, genesis = write_homes(folder, validators, signers)
    transfers = make_transfers(genesis, signers, count, {})
    apps: list[subprocess.Popen[bytes]] = []
    engines: list[subprocess.Popen[bytes]] = []
    try:
        for home in homes:
            with (home.path / "log").open("wb") as log:
                run_app = [sys.executable, "-m", "probatum.nodes.full.run", "--home", home.path]
                app = subprocess.Popen(run_app, stdout=subprocess.PIPE, stderr=log)
                assert app.stdout is not None
                assert app.stdout.readline()
                apps.append(app)
                run_engine = [program, "start", "--home", "engine"]
                engines.append(subprocess.Popen(run_engine, cwd=home.path, stdout=log, stderr=log))
        asyncio.run(wait_for_blocks(homes[0].rpc_port))
        before = [sum(get_cpu_s(p.pid) for p in group) for group in (apps, engines)]
        seconds = asyncio.run(drive(homes, transfers))
        after = [sum(get_cpu_s(p.pid) for p in group) for group in (apps, engines)]
    finally:
        for process in (*engines, *apps):
            process.kill()
            process.wait()
    app_ms, engine_ms = (
        (late - early) / count / validators * 1_000
        for early, late in zip(before, after, strict=True)
    )
    name = f"{validators} validator{'s' if validators > 1 else ''}"
    goal = GOALS_PER_S[validators]
    rate = count / seconds
    return [
        make_row(f"{name}, committed", rate, "transfers a second", goal=goal, more_is_better=True),
        make_row(
            f"{name}, application",
            app_ms,
            "ms CPU a transfer and node",
            peer=f"engine {engine_ms:.3f} ms",
            against=engine_ms,
            goal=GOAL_MS,
        ),
    ]


def run(*, quick: bool = False) -> list[Row]:
    """Measure; one row a figure."""
    count = TRANSFERS // 4 if quick else TRANSFERS
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        rows = measure_application(Path(folder), count)
    try:
        program = find_cometbft()
    except Refusal as refusal:
        print(f"without CometBFT: {refusal}")
        return rows
    for validators in (1, 4):
        folder = tempfile.mkdtemp(dir=SCRATCH)
        try:
            rows += measure_network(program, Path(folder), validators, count)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return rows


if __name__ == "__main__":
    for row in run(quick="--quick" in sys.argv):
        print(row)
