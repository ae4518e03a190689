"""A party's door on a real socket, served by a thread of this process."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import socket
import threading
import time
import urllib.parse

import uvloop

from probatum.nodes.shell.drive import Driver, World
from probatum.nodes.shell.serve import bind, make_server


class Served:
    """What a test holds of a party that is served."""

    def __init__(self):
        self.ready = threading.Event()
        self.reports = []
        self.port = 0
        self.stop = None
        self.driver = None
        self.error = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def connect(self, timeout=5):
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def ask(self, method, path, body=None, headers=None):
        """One exchange; returns status, headers (lower case), body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return response.status, found, response.read()

    def say(self, data, timeout=5):
        """Send raw bytes, return everything that comes back until the other side closes."""
        with self.connect(timeout) as line:
            line.sendall(data)
            return read_all(line)


def read_all(line):
    data = b""
    with contextlib.suppress(TimeoutError, ConnectionResetError):
        while piece := line.recv(65536):
            data += piece
    return data


def quote(text):
    return urllib.parse.quote(text, safe="")


@contextlib.contextmanager
def serving(machine, make_app, **parts):
    """Serve a machine until the block ends; an exception in the party fails the test."""
    served = Served()

    async def live():
        driver = Driver(
            machine,
            World(
                clock_ms=lambda: time.time_ns() // 1_000_000,
                entropy=lambda: os.urandom(32),
                report=served.reports.append,
                **parts,
            ),
        )
        loop = asyncio.get_running_loop()
        door = bind("127.0.0.1", 0)
        served.port = door.getsockname()[1]
        served.driver = driver
        stopping = asyncio.Event()
        served.stop = lambda: loop.call_soon_threadsafe(stopping.set)
        server = make_server(make_app(driver), served.ready.set)
        serving_task = asyncio.create_task(server.serve(sockets=[door]))
        running = asyncio.create_task(driver.run())
        waiting = asyncio.create_task(stopping.wait())
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            await driver.stop(grace_s=0, when_quiet=True)
        server.should_exit = True
        await serving_task
        if "transport" in parts:
            await parts["transport"].close()
        waiting.cancel()
        await running

    def run():
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(live())
        except BaseException as error:  # noqa: BLE001 - raised again by the test's own thread
            served.error = error
        finally:
            served.ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert served.ready.wait(10)
        yield served
    finally:
        if served.stop is not None:
            with contextlib.suppress(RuntimeError):
                served.stop()
        thread.join(15)
        assert not thread.is_alive()
        if served.error is not None:
            raise served.error
