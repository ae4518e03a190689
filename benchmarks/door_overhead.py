"""What a door costs: requests a second and server CPU of one request, against bare peers.

The party is an echo machine, so what is left is HTTP, frames, driver and (last row) a flushed
journal record. Peers in the same run: uvicorn with an app of three lines, and Starlette.
"""

from __future__ import annotations

import asyncio
import multiprocessing
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

from benchmarks.measuring import SCRATCH, Row, make_row
from probatum.machine.events import Arrived, Durable, Event, Moment
from probatum.machine.wishes import Journal, Reply, Wish
from probatum.nodes.shell.drive import Driver
from probatum.nodes.shell.front import FrontDoor, MessageEndpoint
from probatum.nodes.shell.intake import Intake
from probatum.nodes.shell.journal import open_journal
from probatum.protocol.frames import encode_frame
from probatum.protocol.messages import GetStatus, Refused
from tests.e2e.doors import serving

REPLY = Refused(code="test.no", message="no")
KINDS = ("uvicorn", "starlette", "door", "door and journal")
LOADS = ((1, 4_000), (32, 500))
LOADS_QUICK = ((1, 500), (32, 60))


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


def measure(kind: str, loads: tuple[tuple[int, int], ...]) -> list[float]:
    questions: Queue[str] = multiprocessing.Queue()
    answers: Queue[float] = multiprocessing.Queue()
    process = multiprocessing.Process(target=serve, args=(kind, questions, answers))
    process.start()
    port = int(answers.get())
    figures = []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(load(port, 8, 100))
        for clients, requests in loads:
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


def run(*, quick: bool = False) -> list[Row]:
    """Measure; one row a figure."""
    SCRATCH.mkdir(exist_ok=True)
    rows: list[Row] = []
    peer: list[float] = []
    for kind in KINDS:
        figures = measure(kind, LOADS_QUICK if quick else LOADS)
        peer = peer or figures
        for place, clients in enumerate((1, 32)):
            name, at = f"door, {kind}, {clients} clients", 2 * place
            rate, cpu_us = figures[at : at + 2]
            said = "" if kind == KINDS[0] else f"uvicorn {peer[at]:,.0f}/s"
            rows.append(make_row(f"{name}, rate", rate, "1/s", peer=said, against=peer[at]))
            said = "" if kind == KINDS[0] else f"uvicorn {peer[at + 1]:.0f} us"
            row = make_row(f"{name}, CPU a request", cpu_us, "us", peer=said, against=peer[at + 1])
            rows.append(row)
    return rows
