"""Addresses that come from the ledger, and what a stranger's door says, end in errors of ours."""

import asyncio
import contextlib
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from probatum.client.transport import HttpTransport, _Problem
from probatum.errors import Fault, Refusal
from probatum.protocol.messages import GetStatus


@pytest.mark.parametrize(
    "endpoint", ["http://a..b:1", "http://.", "http://" + "a" * 64 + ".b", "http://[::1", "x:"]
)
def test_an_odd_address_is_an_error_of_ours(endpoint):
    async def ask():
        transport = HttpTransport()
        try:
            await transport.ask(endpoint, GetStatus(), 1.0)
        finally:
            await transport.close()

    with pytest.raises((Refusal, Fault)) as caught:
        asyncio.run(ask())
    assert caught.value.code.startswith("transport.")


@pytest.mark.parametrize("code", ["\x1b[31mred", "A.b", "a b", "x" * 200])
def test_only_a_code_is_taken_as_one(code):
    import msgspec

    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode({"code": code}), type=_Problem)


def test_an_api_key_is_shown_at_its_own_door_only():
    seen = []

    class Door(BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append((self.server.server_port, self.headers.get("Authorization")))
            self.send_response(404)
            self.end_headers()

        def log_message(self, *words):
            pass

    async def ask(keyed, other):
        async with HttpTransport({keyed: "pb-x"}) as transport:
            for endpoint in (keyed, other):
                with contextlib.suppress(Refusal, Fault):
                    await transport.ask(endpoint, GetStatus(), 5)

    with HTTPServer(("127.0.0.1", 0), Door) as one, HTTPServer(("127.0.0.1", 0), Door) as two:
        for server in (one, two):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        ports = (one.server_port, two.server_port)
        asyncio.run(ask(*(f"http://127.0.0.1:{port}" for port in ports)))
        one.shutdown()
        two.shutdown()
    assert seen == [(ports[0], "Bearer pb-x"), (ports[1], None)]


def test_a_problem_without_bottom_ends_no_party():
    """What is raised here and is none of ours ends a node or gateway that asked."""

    class Door(BaseHTTPRequestHandler):
        def do_POST(self):
            body = b'{"x":' + b"[" * 60_000
            self.send_response(400)
            self.send_header("Content-Type", "application/problem+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    async def ask(port):
        async with HttpTransport() as transport:
            await transport.ask(f"http://127.0.0.1:{port}", GetStatus(), 5)

    with HTTPServer(("127.0.0.1", 0), Door) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(Fault) as caught:
            asyncio.run(ask(server.server_port))
        server.shutdown()
    assert caught.value.code == "transport.bad-reply"
