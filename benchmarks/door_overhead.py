"""What a door costs: requests a second and server CPU of one request, against bare peers.

The party is an echo machine, so what is left is HTTP, frames, driver and (last row) a flushed
journal record. Peers in the same run: uvicorn with an app of three lines, and Starlette.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import tempfile
import time
from multiprocessing.queues import Queue
from pathlib import Path

import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from probatum.machine.events import Arrived, Durable, Event, Moment
from probatum.machine.wishes import Journal, Reply, Wish
from probatum.nodes.shell.drive import Driver
from probatum.nodes.shell.front import FrontDoor, MessageEndpoint
from probatum.nodes.shell.intake import Intake
from probatum.nodes.shell.journal import open_journal
from probatum.protocol.frames import encode_frame
from probatum.protocol.messages import GetStatus, Refused
from tests.e2e.doors import serving

SCRATCH = Path(__file__).resolve().parents[1] / ".cache"
REPLY = Refused(code="test.no", message="no")
KINDS = ("uvicorn", "starlette", "door", "door and journal")
LOADS = ((1, 4_000), (32, 500))


class Echo:
    def __init__(self, *, writes: bool) -> None:
        self.writes = writes

    def step(self, event: Event, _: Moment) -> tuple[Wish, ...]:
        match event:
            case Arrived(conversation=name) if self.writes:
                return (Journal(name, (bytes(600),)),)
            case Arrived(conversation=name) | Durable(ticket=name):
                return (Reply(name, REPLY),)
        return ()


def make_app(kind: str, driver: Driver) -> ASGIApp:
    async def bare(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        head = [(b"content-length", b"2"), (b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": b"ok"})

    async def page(request: Request) -> PlainTextResponse:
        await request.body()
        return PlainTextResponse("ok")

    if kind == "uvicorn":
        return bare
    if kind == "starlette":
        return Starlette(routes=[Route("/message", page, methods=["POST"])])
    return FrontDoor(exact={"/message": MessageEndpoint(driver, Intake(), (GetStatus,))})


def serve(kind: str, questions: Queue[str], answers: Queue[float]) -> None:
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        journal, _ = open_journal(Path(folder) / "journal")
        machine = Echo(writes=kind == "door and journal")
        with serving(machine, lambda driver: make_app(kind, driver), journal=journal) as served:
            answers.put(served.port)
            while questions.get() == "cpu":
                answers.put(time.process_time())


async def load(port: int, clients: int, requests: int) -> None:
    body = encode_frame(GetStatus())
    request = b"POST /message HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(requests):
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            start = head.index(b"content-length: ") + 16
            await reader.readexactly(int(head[start : head.index(b"\r", start)]))
        writer.close()

    await asyncio.gather(*(one() for _ in range(clients)))


def measure(kind: str) -> list[float]:
    questions: Queue[str] = multiprocessing.Queue()
    answers: Queue[float] = multiprocessing.Queue()
    process = multiprocessing.Process(target=serve, args=(kind, questions, answers))
    process.start()
    port = int(answers.get())
    figures = []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(load(port, 8, 100))
        for clients, requests in LOADS:
            questions.put("cpu")
            cpu, begun = answers.get(), time.perf_counter()
            runner.run(load(port, clients, requests))
            took = time.perf_counter() - begun
            questions.put("cpu")
            total = clients * requests
            figures += [total / took, 1e6 * (answers.get() - cpu) / total]
    questions.put("end")
    process.join()
    return figures


def main() -> None:
    SCRATCH.mkdir(exist_ok=True)
    print(f"{'':18}{'1 client':>12}{'CPU':>8}{'32 clients':>14}{'CPU':>8}{'ratio':>8}")
    peer = 0.0
    for kind in KINDS:
        alone, alone_us, many, many_us = measure(kind)
        peer = peer or many_us
        print(
            f"{kind:18}{alone:10.0f}/s{alone_us:6.0f}us{many:12.0f}/s{many_us:6.0f}us"
            f"{many_us / peer:7.1f}x"
        )


if __name__ == "__main__":
    main()
