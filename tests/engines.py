"""Real CometBFT engines for tests: homes, processes, RPC; the applications are the test's."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from probatum.consensus.cometbft.genesis import make_engine_genesis
from probatum.consensus.cometbft.keys import (
    START_STATE,
    compute_node_id,
    encode_node_key,
    encode_validator_key,
)
from probatum.consensus.cometbft.settings import SOCKET, EngineSettings, Peer, make_settings
from probatum.ops.ports import draw_ports
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.hashing import sha256


class RealEngine:
    """One engine: its home, its process, its RPC. Its application listens at `socket`."""

    def __init__(self, program, home, number, voter):
        self.program, self.home, self.voter = str(program), home, voter
        self.node = OperatingSigner(sha256(b"node %d" % number))
        self.p2p, self.rpc = draw_ports(2)
        self.socket = home / SOCKET
        self.process = None

    @property
    def peer(self):
        return Peer(id=compute_node_id(self.node), host="127.0.0.1", port=self.p2p)

    def write(self, genesis, peers, *, block_interval_ms):
        settings = EngineSettings(
            moniker=self.home.name,
            p2p_port=self.p2p,
            rpc_port=self.rpc,
            peers=tuple(peer for peer in peers if peer != self.peer),
            block_interval_ms=block_interval_ms,
        )
        for name, data in (
            ("config/config.toml", make_settings(settings).encode()),
            ("config/genesis.json", make_engine_genesis(genesis)),
            ("config/priv_validator_key.json", encode_validator_key(self.voter)),
            ("config/node_key.json", encode_node_key(self.node)),
            ("data/priv_validator_state.json", START_STATE),
        ):
            path = self.home / "engine" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def start(self):
        self.process = subprocess.Popen(
            [self.program, "start", "--home", "engine"],
            cwd=self.home,
            stdout=self.home.joinpath("log").open("ab"),
            stderr=subprocess.STDOUT,
        )

    def stop(self, how=signal.SIGTERM):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(20)

    @property
    def is_running(self):
        return self.process.poll() is None

    def read_log(self):
        return self.home.joinpath("log").read_text()

    async def ask(self, call, /, **arguments):
        """Ask its RPC; an error that it answers is returned, a closed door raises."""

        def ask():
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": call, "params": arguments})
            request = urllib.request.Request(
                f"http://127.0.0.1:{self.rpc}/",
                data=body.encode(),
                headers={"Content-Type": "application/json"},
            )
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                return {"error": {"code": error.code}}

        return await asyncio.to_thread(ask)

    async def ask_by_address(self, call, /, **arguments):
        """Ask by a GET, whose arguments may be any bytes."""

        def ask():
            query = urllib.parse.urlencode(arguments)
            url = f"http://127.0.0.1:{self.rpc}/{call}?{query}"
            try:
                with urllib.request.urlopen(url, timeout=20) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                return {"error": {"code": error.code}}

        return await asyncio.to_thread(ask)


async def until(condition, *, within_s=60):
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - what it waits for tells nobody
            await asyncio.sleep(0.02)
