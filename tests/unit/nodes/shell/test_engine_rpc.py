"""Asking the engine: typed refusals, seals read strictly, lies and silence bounded (`SEAL-1`)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from probatum.consensus.cometbft.settings import EngineSettings, make_settings
from probatum.errors import Fault, Refusal
from probatum.nodes.shell.engine_files import get_rpc_port
from probatum.nodes.shell.engine_rpc import EngineRpc

RECORDED = Path(__file__).parents[4] / "vectors" / "cometbft"


class Engine:
    """An RPC that says what it is told to, by method; remembers what it was asked."""

    def __init__(self):
        self.says, self.asked = {}, []

    async def serve(self, reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = int(head.lower().split(b"content-length:")[1].split()[0])
                call = json.loads(await reader.readexactly(size))
                self.asked.append((call["method"], call["params"]))
                said = self.says[call["method"]]
                body = said.pop(0) if isinstance(said, list) else said
                body = body if isinstance(body, bytes) else json.dumps(body).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def play(scenario, **says):
    """Run a scenario against an engine that says these things."""

    async def run():
        engine = Engine()
        engine.says = says
        server = await asyncio.start_server(engine.serve, "127.0.0.1", 0)
        rpc = EngineRpc(server.sockets[0].getsockname()[1])
        try:
            return await scenario(rpc), engine
        finally:
            rpc.close()
            server.close()

    return asyncio.run(run())


def hand_in(**says):
    return play(lambda rpc: rpc.hand_in(b"\x01\x02", 2), broadcast_tx_sync=says)


def checked(code, codespace="", log=""):
    return {"code": code, "codespace": codespace, "log": log, "data": "", "hash": "00"}


def test_a_transaction_is_handed_in():
    _, engine = hand_in(jsonrpc="2.0", id=1, result=checked(0))
    assert engine.asked == [("broadcast_tx_sync", {"tx": "AQI="})]
    hand_in(
        error={"code": -32603, "message": "Internal error", "data": "tx already exists in cache"}
    )


@pytest.mark.parametrize(
    ("says", "code"),
    [
        ({"result": checked(1, "ledger.wrong-nonce", "used")}, "ledger.wrong-nonce"),
        ({"error": {"code": -32603, "data": "mempool is full: number of txs 5"}}, "mempool.full"),
        ({"error": {"code": -32603, "data": "Tx too large. Max size is 1"}}, "encoding.too-large"),
    ],
)
def test_refusals_keep_their_names(says, code):
    with pytest.raises(Refusal) as refused:
        hand_in(**says)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("says", "code"),
    [
        ({"result": checked(1, "Not A Code")}, "engine.odd-reply"),
        ({"result": {"codespace": ""}}, "engine.odd-reply"),
        ({"result": []}, "engine.odd-reply"),
        ({}, "engine.odd-reply"),
        ({"error": {"code": -32603, "message": "x", "data": "y"}}, "engine.refused"),
        ({"error": "?"}, "engine.odd-reply"),
    ],
)
def test_odd_answers_are_faults(says, code):
    with pytest.raises(Fault) as fault:
        hand_in(**says)
    assert fault.value.code == code


@pytest.mark.parametrize("body", [b"", b"no", b"\xff", b"[" * 100_000, b" " * 2_000_000])
def test_bytes_that_are_no_answer_are_bounded(body):
    with pytest.raises(Fault, match="odd-reply"):
        play(lambda rpc: rpc.hand_in(b"1", 2), broadcast_tx_sync=body)


def test_an_engine_that_is_not_there_or_silent_is_named():
    with pytest.raises(Fault, match="unreachable"):
        asyncio.run(EngineRpc(1).hand_in(b"1", 2))

    async def mute(reader, writer):
        await reader.read()
        writer.close()

    async def run():
        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        rpc = EngineRpc(server.sockets[0].getsockname()[1])
        try:
            await rpc.hand_in(b"1", 0.2)
        finally:
            rpc.close()
            server.close()

    with pytest.raises(Fault, match="within"):
        asyncio.run(run())


def load(name):
    return json.loads((RECORDED / f"{name}.json").read_text())


def test_a_recorded_seal_is_read():
    says = {"commit": load("commit_h3"), "validators": load("validators")}
    height = int(says["commit"]["result"]["signed_header"]["header"]["height"])
    says["validators"]["result"]["block_height"] = str(height)
    seal, engine = play(lambda rpc: rpc.get_seal(height - 1, 2), **says)
    assert seal.header.height == height
    assert len(seal.validators) == len(says["validators"]["result"]["validators"])
    assert [call for call, _ in engine.asked] == ["commit", "validators"]
    assert all(params["height"] == str(height) for _, params in engine.asked)


def test_a_set_of_several_pages_is_read_to_its_end():
    commit, page = load("commit_h3"), load("validators")
    height = int(commit["result"]["signed_header"]["header"]["height"])
    page["result"]["block_height"] = str(height)
    some = page["result"]["validators"]
    page["result"]["total"] = str(2 * len(some))
    pages = [page, json.loads(json.dumps(page))]
    seal, engine = play(lambda rpc: rpc.get_seal(height - 1, 2), commit=commit, validators=pages)
    assert len(seal.validators) == 2 * len(some)
    assert [params.get("page") for _, params in engine.asked[1:]] == ["1", "2"]


@pytest.mark.parametrize(
    "change",
    [
        lambda page: page["result"].update(block_height="99"),
        lambda page: page["result"].update(total="100000"),
        lambda page: page["result"].update(validators=[]),
    ],
)
def test_an_odd_set_of_validators_is_a_fault(change):
    commit, page = load("commit_h3"), load("validators")
    height = int(commit["result"]["signed_header"]["header"]["height"])
    page["result"]["block_height"] = str(height)
    change(page)
    with pytest.raises(Fault, match="odd-reply"):
        play(lambda rpc: rpc.get_seal(height - 1, 2), commit=commit, validators=page)


def test_the_commit_of_another_height_is_a_fault():
    with pytest.raises(Fault, match="came for"):
        play(lambda rpc: rpc.get_seal(77, 2), commit=load("commit_h3"))


def test_the_engines_port_is_in_its_settings(tmp_path):
    with pytest.raises(Refusal, match="there is no"):
        get_rpc_port(tmp_path)
    config = tmp_path / "engine" / "config" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(make_settings(EngineSettings(moniker="x", p2p_port=1, rpc_port=26_657)))
    assert get_rpc_port(tmp_path) == 26_657
    for bad in ("", '[rpc]\nladdr = "tcp://10.0.0.1:1"', '[rpc]\nladdr = "tcp://127.0.0.1:0"'):
        config.write_text(bad)
        with pytest.raises(Refusal, match=r"rpc\.laddr"):
            get_rpc_port(tmp_path)
    config.write_bytes(b"\xff")
    with pytest.raises(Refusal, match="UTF-8"):
        get_rpc_port(tmp_path)
