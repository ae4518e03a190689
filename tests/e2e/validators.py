"""Real validators under load: transfers sent until they are final, and what became of them."""

from __future__ import annotations

import asyncio
import random
import subprocess
import threading
import time

import pytest

from probatum.client.proofs import check_now
from probatum.client.transport import HttpTransport
from probatum.errors import ProbatumError
from probatum.nodes.shell.config import FullConfig, write_config
from probatum.ops.cometbft import find_cometbft
from probatum.ops.folder import GATEWAY, USER, NetworkPlan, open_folder
from probatum.ops.prepared import prepare_validators
from probatum.protocol.encoding import encode
from probatum.protocol.hashing import sha256
from probatum.protocol.messages import (
    GetHeader,
    GetOutcome,
    GetState,
    GotHeader,
    GotState,
    Outcome,
    Submit,
)
from probatum.protocol.records import get_account_key
from probatum.protocol.transactions.kinds import Transfer
from probatum.protocol.transactions.signed import sign_transaction
from probatum.protocol.trust import decode_trust

FEE_UNITS = 1_000
START_S = 60
SUBMIT_S = 5
BLOCK_MS = 300


def need_cometbft():
    """Skip by name where there is no CometBFT."""
    try:
        return find_cometbft()
    except ProbatumError as error:
        pytest.skip(f"no CometBFT: {error.message} ({error.hint})")


def repair(program, home):
    """What docs/operating says of a diverged node, for one that is stopped."""
    subprocess.run([program, "rollback", "--home", "engine"], cwd=home, check=True)
    for path in home.glob("ledger.sqlite*"):
        path.rename(home / f"diverged-{path.name}")


class Stage:
    """Validators of one network that run; a context manager that ends them."""

    def __init__(self, path, count=4, block_ms=BLOCK_MS, **settings):
        self.said = []
        plan = NetworkPlan(nodes=1, validators=count, block_interval_ms=block_ms)
        self.folder = open_folder(path, plan)
        self.names = self.folder.validator_names
        self.trust = decode_trust(self.folder.trust_path.read_bytes())
        for home in self.folder.validator_homes.values():
            write_config(home, FullConfig(block_interval_ms=block_ms, **settings))
        self.validators = prepare_validators(self.folder, self.said.append)

    def __enter__(self):
        try:
            self.validators.start(time.monotonic() + START_S)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.validators.stop()
        self.validators.close()
        self.folder.close()

    def ask(self, name, message, timeout_s=10):
        async def go():
            async with HttpTransport() as transport:
                return await transport.ask(self.validators.get_endpoint(name), message, timeout_s)

        return asyncio.run(go())

    def get_header(self, name, height=0):
        """A header that a validator proves; None while it cannot."""
        try:
            reply = self.ask(name, GetHeader(height=height))
        except ProbatumError:
            return None
        return check_now(self.trust, reply.header) if isinstance(reply, GotHeader) else None

    def get_height(self, name):
        header = self.get_header(name)
        return header.height if header else 0

    def wait(self, true, seconds=60.0, what=""):
        deadline = time.monotonic() + seconds
        while not (found := true()):
            assert time.monotonic() < deadline, (what, self.said[-20:])
            time.sleep(0.1)
        return found

    def wait_level(self, seconds=60.0):
        """Wait until everybody proves one more block than anybody has now; its header is one."""
        target = max(self.get_height(name) for name in self.names) + 2
        for name in self.names:
            self.wait(lambda name=name: self.get_height(name) >= target, seconds, f"{name} follows")
        headers = {self.get_header(name, target) for name in self.names}
        assert len(headers) == 1, f"different headers at height {target}"
        return target


class Load:
    """Accounts that send without pause, to anybody, each until its transfer is final."""

    def __init__(self, stage, seed=0):
        self.stage, self.draw = stage, random.Random(seed)
        self.final = {}
        self.ending = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join()

    async def _run(self):
        accounts = [*self.stage.names, GATEWAY, USER, "node-1"]
        async with HttpTransport() as transport:
            await asyncio.gather(*(self._send_on(transport, name) for name in accounts))

    async def _send_on(self, transport, name):
        sender = self.stage.folder.load_account(name)
        nonce = await self._get_nonce(transport, sender.address)
        while not self.ending.is_set():
            body = Transfer(to=bytes([7]) * 20, amount=1 + nonce)
            signed = sign_transaction(
                self.stage.folder.domain, sender, nonce=nonce, fee_units=FEE_UNITS, body=body
            )
            data = encode(signed)
            outcome = await self._submit(transport, data)
            if outcome is None:
                return  # nobody said that it is final, and the test is over
            assert (outcome.code, outcome.transaction_hash) == ("ok", sha256(data))
            self.final[outcome.transaction_hash] = outcome
            nonce += 1

    async def _submit(self, transport, data):
        while True:
            where = self.stage.validators.get_endpoint(self.draw.choice(self.stage.names))
            try:
                reply = await transport.ask(where, Submit(transaction=data), SUBMIT_S)
                if isinstance(reply, Outcome):
                    return reply
            except ProbatumError:
                pass
            if self.ending.is_set():
                return None
            await asyncio.sleep(0.1)

    async def _get_nonce(self, transport, address):
        where = self.stage.validators.get_endpoint(self.stage.names[0])
        while True:
            reply = await transport.ask(
                where, GetState(keys=(get_account_key(address),), prove=False), 10
            )
            if isinstance(reply, GotState):
                return 0
            await asyncio.sleep(0.1)

    def check_kept(self):
        """Hold every validator to every outcome that anybody was told."""
        assert self.final

        async def check(name):
            where = self.stage.validators.get_endpoint(name)
            async with HttpTransport() as transport:
                for found, outcome in self.final.items():
                    reply = await transport.ask(where, GetOutcome(transaction_hash=found), 10)
                    assert reply == outcome, (name, reply, outcome)

        for name in self.stage.names:
            asyncio.run(check(name))
