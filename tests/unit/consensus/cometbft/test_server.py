"""The server against a client that plays the engine: order, half messages, noise, deaths
(`ABCI-5`)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import tempfile
from pathlib import Path

import pytest
import uvloop

from probatum.consensus.cometbft import messages as m
from probatum.consensus.cometbft.frames import decode_response, encode_request
from probatum.consensus.cometbft.server import MAX_CONNECTIONS, Server, _Connection
from probatum.consensus.cometbft.varints import read_varint
from probatum.errors import Fault, Misuse, Refusal


class Application:
    """Answers with what it was asked, and writes down in which order it was called."""

    def __init__(self):
        self.calls = []
        self.reconnections = 0
        self.gate = None
        self.error = None

    def reconnected(self):
        self.reconnections += 1
        self.calls.append("reconnected")

    def info(self, request):
        self.calls.append("info")
        return m.ResponseInfo(data=request.version, last_block_height=len(self.calls))

    def check_tx(self, request):
        self.calls.append(request.tx)
        if self.error is not None:
            raise self.error
        return m.ResponseCheckTx(data=request.tx)

    def finalize_block(self, request):
        self.calls.append(f"finalize {request.height}")
        return m.ResponseFinalizeBlock(app_hash=request.hash)

    def query(self, request):
        return m.ResponseQuery(value=bytes(request.height))

    def list_snapshots(self, request):
        return m.ResponseInfo()  # not what was asked for

    async def commit(self, request):
        self.calls.append("commit begins")
        if self.gate is not None:
            await self.gate.wait()
        self.calls.append("commit ends")
        if self.error is not None:
            raise self.error
        return m.ResponseCommit(retain_height=1)

    def __getattr__(self, name):
        def unused(request):
            raise AssertionError(name)

        return unused


class Engine:
    """One connection, as raw as it gets."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, path):
        return cls(*await asyncio.open_unix_connection(str(path), limit=1 << 26))

    def send(self, *requests):
        self.writer.write(b"".join(map(encode_request, requests)))

    async def read(self):
        head = b""
        while not head or head[-1] > 127:
            head += await self.reader.readexactly(1)
        length, _ = read_varint(head, 0)
        return decode_response(await self.reader.readexactly(length))

    async def ask(self, *requests):
        self.send(*requests)
        return [await self.read() for _ in requests]

    async def is_closed(self):
        return await self.reader.read(1) == b""

    def close(self):
        self.writer.close()


async def until(condition):
    while not condition():  # noqa: ASYNC110 - what it waits for tells nobody
        await asyncio.sleep(0.01)


def list_refusals(server):
    return [why for what, why in server.told if what == "refused"]


@contextlib.asynccontextmanager
async def serve(**options):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "abci.sock")
        application, reports = Application(), []
        server = Server(application, report=lambda *said: reports.append(said), **options)
        await server.open(path)
        server.told = reports
        try:
            yield server, application, path
        finally:
            await asyncio.wait_for(server.close(), 5)
            assert not os.path.lexists(path)  # noqa: ASYNC240


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request):
    def run_in(scenario):
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(asyncio.wait_for(scenario(), 30))

    return run_in


def test_four_connections_are_each_answered_in_their_own_order(run):
    async def scenario():
        async with serve() as (server, application, path):
            engines = [await Engine.connect(path) for _ in range(4)]
            for number, engine in enumerate(engines):
                said = await engine.ask(m.RequestEcho(message=f"é{number}"), m.RequestFlush())
                assert said == [m.ResponseEcho(message=f"é{number}"), m.ResponseFlush()]
            assert server.connections == 4
            answers = await asyncio.gather(
                *(
                    engine.ask(*(m.RequestCheckTx(tx=b"%d %d" % (n, i)) for i in range(50)))
                    for n, engine in enumerate(engines)
                )
            )
            for number, said in enumerate(answers):
                assert [one.data for one in said] == [b"%d %d" % (number, i) for i in range(50)]
            assert application.reconnections == 1, "four connections, one engine"

    run(scenario)


def test_256_requests_ahead_are_answered_in_one_write(run):
    async def scenario():
        async with serve() as (_, _application, path):
            engine = await Engine.connect(path)
            asked = [
                m.RequestFlush() if i % 2 else m.RequestCheckTx(tx=b"%d" % i) for i in range(256)
            ]
            said = await engine.ask(*asked)
            assert [type(one) for one in said] == [m.ResponseCheckTx, m.ResponseFlush] * 128
            assert [one.data for one in said[::2]] == [b"%d" % i for i in range(0, 256, 2)]

    run(scenario)


class Recorder:
    """A transport that writes down what is done with it."""

    def __init__(self):
        self.done = []

    def write(self, data):
        self.done.append(bytes(data))

    def is_closing(self):
        return "close" in self.done

    def __getattr__(self, name):
        return lambda: self.done.append(name)


def test_what_is_read_together_is_written_together():
    """One write for each read, not one for each answer."""

    async def scenario():
        connection, transport = _Connection(Server(Application()), 1_000), Recorder()
        connection.connection_made(transport)
        stream = encode_request(m.RequestFlush()) * 100
        connection.data_received(stream[:-1])
        connection.data_received(stream[-1:] + stream)
        flushed = b"\x02\x1a\x00"
        assert transport.done == [flushed * 99, flushed * 101]
        connection.pause_writing()
        connection.pause_writing()
        connection.resume_writing()
        connection.data_received(b"\xff" * 9)
        connection.data_received(stream)
        assert transport.done[2:4] == ["pause_reading", "resume_reading"]
        assert b"too-long" in transport.done[4]
        assert transport.done[5:] == ["close"]

    asyncio.run(scenario())


def test_a_message_in_single_bytes_and_one_of_megabytes(run):
    async def scenario():
        async with serve() as (_, _application, path):
            engine = await Engine.connect(path)
            for byte in encode_request(m.RequestCheckTx(tx=b"torn")):
                engine.writer.write(bytes([byte]))
                await engine.writer.drain()
            assert (await engine.read()).data == b"torn"
            large = m.RequestCheckTx(tx=os.urandom(8 << 20))
            (said,) = await engine.ask(large)
            assert said.data == large.tx

    run(scenario)


def test_an_engine_that_reads_no_answers_is_not_read_from(run):
    """8 MB an answer: without a brake, thousands of them would be held here."""

    async def scenario():
        async with serve() as (_, application, path):
            engine = await Engine.connect(path)
            engine.send(m.RequestCheckTx(tx=b"first"))
            await engine.read()
            big = encode_request(m.RequestQuery(height=8 << 20))
            engine.reader._transport.pause_reading()
            quiet = 0
            for _ in range(40):
                engine.writer.write(big + encode_request(m.RequestCheckTx(tx=b"x" * 200_000)))
            while quiet < 20:
                before = len(application.calls)
                await asyncio.sleep(0.01)
                quiet = quiet + 1 if len(application.calls) == before else 0
            assert len(application.calls) < 20, "the rest waits in the socket"
            engine.reader._transport.resume_reading()
            for _ in range(40):
                assert len((await engine.read()).value) == 8 << 20
                assert len((await engine.read()).data) == 200_000

    run(scenario)


def test_a_long_call_holds_everybody_and_nothing_overtakes_it(run):
    async def scenario():
        async with serve() as (_, application, path):
            consensus, mempool = await Engine.connect(path), await Engine.connect(path)
            await mempool.ask(m.RequestFlush())
            application.gate = asyncio.Event()
            consensus.send(
                m.RequestFinalizeBlock(height=5, hash=b"h"),
                m.RequestCommit(),
                m.RequestFlush(),
                m.RequestInfo(version="after"),
            )
            assert (await consensus.read()).app_hash == b"h", "told before the wait"
            mempool.send(m.RequestCheckTx(tx=b"waits"), m.RequestFlush())
            await asyncio.sleep(0.05)
            assert application.calls[-1] == "commit begins"
            application.gate.set()
            said = [await consensus.read() for _ in range(3)]
            assert [type(one).__name__ for one in said] == [
                "ResponseCommit",
                "ResponseFlush",
                "ResponseInfo",
            ]
            assert (await mempool.read()).data == b"waits"
            calls = [one for one in application.calls if one != "reconnected"]
            assert calls[:3] == ["finalize 5", "commit begins", "commit ends"]

    run(scenario)


def test_more_than_may_wait_is_left_in_the_socket(run):
    async def scenario():
        async with serve() as (server, application, path):
            engine = await Engine.connect(path)
            application.gate = asyncio.Event()
            engine.send(m.RequestCommit())
            for _ in range(40):
                engine.send(*([m.RequestCheckTx(tx=b"y" * 1_000)] * 500))
                await asyncio.sleep(0)
            await asyncio.sleep(0.2)
            assert len(server._queue) < 2_000, "of 20,000"
            application.gate.set()
            assert isinstance(await engine.read(), m.ResponseCommit)
            for _ in range(20_000):
                assert isinstance(await engine.read(), m.ResponseCheckTx)

    run(scenario)


@pytest.mark.parametrize("when", ["between calls", "in mid-frame", "within a call"])
def test_an_engine_that_dies_comes_back_and_the_application_is_told(run, when):
    async def scenario():
        async with serve() as (server, application, path):
            engines = [await Engine.connect(path) for _ in range(4)]
            await engines[3].ask(m.RequestFinalizeBlock(height=7))
            if when == "in mid-frame":
                engines[3].writer.write(encode_request(m.RequestCheckTx(tx=b"z" * 99))[:50])
            if when == "within a call":
                application.gate = asyncio.Event()
                engines[3].send(m.RequestCommit(), m.RequestCheckTx(tx=b"of the dead"))
            await asyncio.sleep(0.05)
            for engine in engines:
                engine.close()
            await until(lambda: server.connections == 0)
            again = await Engine.connect(path)
            again.send(m.RequestInfo(version="0.38.25"))
            if application.gate is not None:
                await asyncio.sleep(0.05)
                assert application.reconnections == 1, "not while a call is under way"
                application.gate.set()
            assert (await again.read()).data == "0.38.25"
            assert application.reconnections == 2
            assert application.calls[-2:] == ["reconnected", "info"]
            assert b"of the dead" not in application.calls
            assert [said[0] for said in server.told].count("lost") == 4

    run(scenario)


@pytest.mark.parametrize(
    ("noise", "code"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 5, "abci.malformed"),
        (b"\x00", "abci.unknown-call"),
        (b"\xff" * 64, "abci.too-long"),
        (b"\x80\x80\x80\x80\x7f", "abci.too-long"),
        (b"\x03\xb2\x01\x00", "abci.unknown-call"),
        (b"\x04\x42\x02\x0a\x05", "abci.malformed"),
        (bytes(range(1, 256)), "abci.malformed"),
    ],
)
def test_noise_ends_its_own_connection_alone(run, noise, code):
    async def scenario():
        async with serve() as (server, application, path):
            well, stranger = await Engine.connect(path), await Engine.connect(path)
            stranger.send(m.RequestEcho(message="first"))
            stranger.writer.write(noise)
            stranger.send(m.RequestCheckTx(tx=b"after"))
            assert await stranger.read() == m.ResponseEcho(message="first")
            refused = await stranger.read()
            assert isinstance(refused, m.ResponseException)
            assert code in refused.error
            assert await stranger.is_closed()
            assert (await well.ask(m.RequestCheckTx(tx=b"well")))[0].data == b"well"
            assert b"after" not in application.calls
            assert [why.startswith(code) for why in list_refusals(server)] == [True]

    run(scenario)


@pytest.mark.parametrize("call", ["check_tx", "commit", "list_snapshots", "extend_vote"])
def test_an_exception_tells_the_engine_and_ends_the_process(run, call):
    async def scenario():
        async with serve() as (server, application, path):
            consensus, other = await Engine.connect(path), await Engine.connect(path)
            await other.ask(m.RequestFlush())
            application.error = Refusal("ledger.bug", "not expected here \ud800")
            requests = {
                "check_tx": m.RequestCheckTx(tx=b"a"),
                "commit": m.RequestCommit(),
                "list_snapshots": m.RequestListSnapshots(),
                "extend_vote": m.RequestExtendVote(),
            }
            consensus.send(m.RequestEcho(message="before"), requests[call], m.RequestFlush())
            assert await consensus.read() == m.ResponseEcho(message="before")
            for engine in (consensus, other):
                assert isinstance(await engine.read(), m.ResponseException)
                assert await engine.is_closed()
            kind = {"list_snapshots": Misuse, "extend_vote": AssertionError}.get(call, Refusal)
            with pytest.raises(kind):
                await asyncio.wait_for(server.wait(), 5)
            late = await Engine.connect(path)
            assert await late.is_closed(), "a broken application serves nobody"

    run(scenario)


def test_more_connections_than_an_engine_has_are_closed(run):
    async def scenario():
        async with serve() as (server, _, path):
            held = [await Engine.connect(path) for _ in range(MAX_CONNECTIONS)]
            await asyncio.gather(*(engine.ask(m.RequestFlush()) for engine in held))
            assert await (await Engine.connect(path)).is_closed()
            assert server.connections == MAX_CONNECTIONS
            held.pop().close()
            await until(lambda: server.connections < MAX_CONNECTIONS)
            assert await (await Engine.connect(path)).ask(m.RequestFlush()) == [m.ResponseFlush()]

    run(scenario)


def test_closing_lets_the_call_that_is_under_way_end(run):
    async def scenario():
        async with serve() as (server, application, path):
            engine = await Engine.connect(path)
            application.gate = asyncio.Event()
            engine.send(m.RequestCommit(), m.RequestCheckTx(tx=b"never"))
            await until(lambda: "commit begins" in application.calls)
            closing = asyncio.ensure_future(server.close())
            assert await engine.is_closed()
            assert not closing.done()
            application.gate.set()
            await asyncio.wait_for(closing, 5)
            await asyncio.wait_for(server.wait(), 5)
            assert application.calls[-1] == "commit ends"

    run(scenario)


def test_the_socket_is_for_its_user_alone(run):
    async def scenario():
        async with serve() as (_, _application, path):
            mode = path.lstat().st_mode
            assert stat.S_ISSOCK(mode)
            assert stat.S_IMODE(mode) == 0o600

    run(scenario)


def replace_by_a_file(path):
    path.unlink()
    path.write_text("somebody else's")


def is_that_file(path):
    return path.read_text() == "somebody else's"


def test_a_dead_socket_is_replaced_and_a_living_one_is_not(run, tmp_path_factory):
    async def scenario():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "s")
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(str(path))
            first = Server(Application())
            await first.open(path)
            second = Server(Application())
            with pytest.raises(Fault) as caught:
                await second.open(path)
            assert caught.value.code == "abci.socket-in-use"
            engine = await Engine.connect(path)
            assert await engine.ask(m.RequestFlush()) == [m.ResponseFlush()]
            replace_by_a_file(path)
            await first.close()
            assert is_that_file(path)
            with pytest.raises(Fault) as caught:
                await second.open(path)
            assert caught.value.code == "abci.not-a-socket"
            await second.close()

    run(scenario)


def test_a_home_may_lie_deeper_than_a_sockets_name_is_long(run, tmp_path):
    async def scenario():
        path = tmp_path / ("d" * 100) / "abci.sock"
        path.parent.mkdir()
        for _ in range(2):
            server = Server(Application())
            await server.open(path)
            assert stat.S_IMODE(path.lstat().st_mode) == 0o600
            folder = os.open(path.parent, os.O_PATH)
            engine = await Engine.connect(f"/proc/self/fd/{folder}/abci.sock")
            os.close(folder)
            assert await engine.ask(m.RequestFlush()) == [m.ResponseFlush()]
            with pytest.raises(Fault) as caught:
                await Server(Application()).open(path)
            assert caught.value.code == "abci.socket-in-use"
            await server.close()

    run(scenario)


def test_a_path_that_cannot_be_a_sockets_is_named(run):
    async def scenario():
        server = Server(Application())
        for path in (Path("/tmp", "x" * 110), Path("/nowhere-at-all/abci.sock")):
            with pytest.raises(Fault) as caught:
                await server.open(path)
            assert caught.value.code == "abci.socket-path"
            assert caught.value.retryable is False

    run(scenario)
