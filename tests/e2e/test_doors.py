"""Doors on real sockets: every bad input gets a typed no, in bounded time and memory."""

import json
import random
import socket
import time

import pytest

from probatum.client.transport import HttpTransport
from probatum.machine import events, wishes
from probatum.nodes.full.app import make_app as make_full_app
from probatum.nodes.gateway.app import DoorRules
from probatum.nodes.gateway.app import make_app as make_gateway_app
from probatum.nodes.gateway.machine import Gateway
from probatum.nodes.gateway.settings import GatewaySettings
from probatum.nodes.inference.app import make_app as make_inference_app
from probatum.nodes.inference.machine import InferenceNode
from probatum.nodes.shell import intake, serve
from probatum.nodes.shell.api_keys import ApiKeys, add_key
from probatum.nodes.shell.front import FrontDoor, MessageEndpoint
from probatum.nodes.shell.gate import Gate, GateRules
from probatum.nodes.shell.intake import Intake
from probatum.protocol.frames import FrameReader, encode_frame
from probatum.protocol.messages import (
    Accepted,
    Answered,
    GetHeader,
    GetStatus,
    GotHeader,
    GotLogFile,
    Refused,
    Status,
)
from tests.e2e.doors import read_all, serving
from tests.e2e.processes import wait_for
from tests.unit.nodes.network import CHAIN_ID, Network, account, operating

CLOSED_LEDGER = "http://127.0.0.1:9"
KINDS = (GetStatus, GetHeader)
SMALL = 1 << 20


class Echo:
    """Answers a GetStatus at once, a GetHeader in two replies, the second with whatever is asked
    next; 2 never, 3 with a lot.
    """

    def __init__(self):
        self.seen = []
        self.open = None

    def step(self, event, moment):
        self.seen.append(event)
        match event:
            case events.Arrived(conversation=name, message=GetStatus()):
                said = (wishes.Reply(name, Refused(code="test.no", message="no")),)
                if self.open is not None:
                    said += (wishes.Reply(self.open, Answered(receipt=b"", outputs=())),)
                    self.open = None
                return said
            case events.Arrived(conversation=name, message=GetHeader(height=1)):
                self.open = name
                return (wishes.Reply(name, Accepted(record=b"r"), last=False),)
            case events.Arrived(conversation=name, message=GetHeader(height=3)):
                return (wishes.Reply(name, GotLogFile(data=bytes(30 << 20))),)
        return ()


@pytest.fixture(scope="module")
def echo():
    machine = Echo()

    def make_app(driver):
        endpoint = MessageEndpoint(driver, Intake(timeout_s=0.5), KINDS, limit_bytes=SMALL)
        return FrontDoor(exact={"/message": endpoint})

    with serving(machine, make_app) as served:
        served.machine = machine
        yield served


def problem_of(data):
    problem = json.loads(data)
    assert problem["type"] == f"urn:probatum:refusal:{problem['code']}"
    assert {"title", "status", "detail"} <= set(problem)
    return problem


def head_of(method=b"POST", path=b"/message", **headers):
    lines = [method + b" " + path + b" HTTP/1.1", b"Host: x"]
    lines += [name.replace("_", "-").encode() + b": " + value for name, value in headers.items()]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def test_a_message_is_answered_by_frames(echo):
    status, headers, body = echo.ask("POST", "/message", encode_frame(GetStatus()))
    assert (status, headers["content-type"]) == (200, "application/x-probatum-frames")
    assert FrameReader().feed(body) == (Refused(code="test.no", message="no"),)


def test_replies_are_sent_as_they_come(echo):
    body = encode_frame(GetHeader(height=1))
    with echo.connect() as line:
        line.sendall(head_of(Content_Length=b"%d" % len(body)) + body)
        data = b""
        while encode_frame(Accepted(record=b"r")) not in data:
            data += line.recv(4096)
        echo.ask("POST", "/message", encode_frame(GetStatus()))
        while not data.endswith(b"0\r\n\r\n"):
            data += line.recv(4096)
    assert encode_frame(Answered(receipt=b"", outputs=())) in data


BAD_BODIES = [
    (b"", "door.not-one-message"),
    (b"\0\0", "frame.cut-short"),
    (b"\0\0\0\x05abc", "frame.cut-short"),
    (b"\xff\xff\xff\xff", "frame.too-large"),
    (b"\0\0\0\x01\xc0", "encoding.malformed"),
    (encode_frame(GetStatus()) * 2, "door.not-one-message"),
    (encode_frame(GetStatus()) + b"x", "frame.cut-short"),
    (encode_frame(Refused(code="a.b", message="")), "door.wrong-message"),
]


@pytest.mark.parametrize(("body", "code"), BAD_BODIES)
def test_a_body_that_is_not_one_message_is_refused(echo, body, code):
    status, headers, answer = echo.ask("POST", "/message", body)
    assert headers["content-type"] == "application/problem+json"
    problem = problem_of(answer)
    assert (problem["code"], problem["status"]) == (code, status)
    assert 400 <= status < 500


@pytest.mark.parametrize(
    ("method", "path", "code", "expected"),
    [
        ("GET", "/message", "door.wrong-method", 405),
        ("DELETE", "/message", "door.wrong-method", 405),
        ("GET", "/nothing", "door.no-such-path", 404),
        ("GET", "/message/", "door.no-such-path", 404),
        ("GET", "//", "door.no-such-path", 404),
        ("GET", "/%00%ff", "door.no-such-path", 404),
        ("BREW", "/message", "door.bad-http", 400),
    ],
)
def test_wrong_paths_and_methods_are_refused(echo, method, path, code, expected):
    status, _, body = echo.ask(method, path)
    assert (status, problem_of(body)["code"]) == (expected, code)


def test_a_declared_length_over_the_limit_is_refused(echo):
    status, _, body = echo.ask("POST", "/message", b"x" * (SMALL + 100))
    assert (status, problem_of(body)["code"]) == (413, "door.too-large")


def test_an_undeclared_length_over_the_limit_is_refused(echo):
    pieces = iter([b"x" * 65536] * 40)
    status, _, body = echo.ask("POST", "/message", pieces)
    assert (status, problem_of(body)["code"]) == (413, "door.too-large")


def test_a_boundless_body_is_cut_off(echo, monkeypatch):
    monkeypatch.setattr(intake, "_DRAIN_BYTES", 4 << 20)
    sent = 0
    with echo.connect() as line:
        line.sendall(head_of(Content_Length=b"999999999999"))
        with pytest.raises(OSError):  # noqa: PT012 - the point is when it raises
            while sent < 200 << 20:
                line.sendall(b"x" * 65536)
                sent += 65536
        assert sent < 40 << 20


def test_a_slow_body_is_refused(echo):
    answer = echo.say(head_of(Content_Length=b"100") + b"abc")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"door.too-slow" in answer


def test_a_slow_head_is_cut_off(echo, monkeypatch):
    monkeypatch.setattr(serve, "HEAD_S", 0.3)
    for beginning in (b"", b"POST /mess", b"POST /message HTTP/1.1\r\nHost: x\r\n"):
        begun = time.monotonic()
        assert echo.say(beginning) == b""
        assert time.monotonic() - begun < 3
    # A second request on a kept connection is held to it too.
    body = encode_frame(GetStatus())
    first = head_of(Content_Length=b"%d" % len(body)) + body
    assert echo.say(first + b"POST /m").count(b"HTTP/1.1 200") == 1


@pytest.mark.parametrize("pieces", [1, 2])
def test_an_answer_may_take_longer_than_a_head(echo, monkeypatch, pieces):
    """Who has asked is not timed as if another head were awaited."""
    monkeypatch.setattr(serve, "HEAD_S", 0.5)
    body = encode_frame(GetHeader(height=1))
    with echo.connect() as line:
        said = head_of(Content_Length=b"%d" % len(body)) + body
        if pieces == 2:
            line.sendall(said[:-5])
            time.sleep(0.05)
            said = said[-5:]
        line.sendall(said)
        time.sleep(0.8)
        echo.ask("POST", "/message", encode_frame(GetStatus()))  # now it is answered
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            piece = line.recv(65536)
            assert piece, "cut off in the middle of its answer"
            data += piece
        # And the line is kept: a quiet one is no slow head.
        time.sleep(0.8)
        body = encode_frame(GetStatus())
        line.sendall(head_of(Content_Length=b"%d" % len(body)) + body)
        assert line.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_long_head_is_cut_off(echo):
    endless = b"GET /message HTTP/1.1\r\n" + b"X: " + b"y" * (1 << 20)
    answer = echo.say(endless)
    assert answer == b"" or b"door.long-head" in answer or b"door.bad-http" in answer


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /message HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /message HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /message HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET \xff\xfe HTTP/1.1\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_http_is_not_an_error_of_ours(echo, raw):
    with echo.connect(1) as line:
        line.sendall(raw)
        line.shutdown(socket.SHUT_WR)
        answer = read_all(line)
    assert not answer.startswith(b"HTTP/1.1 5")
    if answer.startswith(b"HTTP/1.1 400"):
        assert b"door." in answer
    assert echo.ask("POST", "/message", encode_frame(GetStatus()))[0] == 200


def test_who_hangs_up_is_noticed(echo):
    body = encode_frame(GetHeader(height=2))

    def list_arrived():
        return [event for event in echo.machine.seen if isinstance(event, events.Arrived)]

    before = len(list_arrived())
    with echo.connect() as line:
        line.sendall(head_of(Content_Length=b"%d" % len(body)) + body)
        assert wait_for(lambda: len(list_arrived()) > before)
    hung = events.Hung(list_arrived()[-1].conversation)
    assert wait_for(lambda: hung in echo.machine.seen)


def test_a_reader_who_does_not_read_is_cut_off(echo, monkeypatch):
    monkeypatch.setattr(serve, "STALLED_S", 0.2)
    body = encode_frame(GetHeader(height=3))
    with echo.connect() as line:
        line.sendall(head_of(Content_Length=b"%d" % len(body)) + body)
        time.sleep(1)
        assert len(read_all(line)) < 30 << 20


# ------------------------------------------------------------------ the parties' own machines


@pytest.fixture(scope="module")
def full():
    network = Network()
    machine = network.world.parties["http://ledger"].machine
    with serving(machine, make_full_app, tables=network.store) as served:
        deadline = time.monotonic() + 5
        while json.loads(served.ask("GET", "/status")[2])["height"] < 2:
            assert time.monotonic() < deadline
        yield served


@pytest.fixture(scope="module")
def gateway():
    network = Network()
    settings = GatewaySettings(
        operator=account("gateway").address,
        signer=operating("gateway"),
        trust=network.trust,
        ledger=CLOSED_LEDGER,
    )
    machine = Gateway(settings, ())
    transport = HttpTransport()
    with serving(
        machine, lambda driver: make_gateway_app(driver, machine), transport=transport
    ) as served:
        yield served


@pytest.fixture(scope="module")
def inference():
    network = Network()
    machine = InferenceNode(network.node_settings("a"), ())
    transport = HttpTransport()

    def make_app(driver):
        return make_inference_app(
            driver,
            machine=machine,
            packages={},
            domain=network.node_settings("a").domain,
            operator=account("a").address,
        )

    with serving(machine, make_app, transport=transport) as served:
        yield served


def test_the_ledgers_door_answers_people(full):
    status = json.loads(full.ask("GET", "/status")[2])
    assert status["chain_id"] == CHAIN_ID
    last = json.loads(full.ask("GET", "/headers/last")[2])
    assert last["header"]["header"]["height"] >= 2
    first = json.loads(full.ask("GET", "/headers/1")[2])
    assert first["header"]["header"]["genesis_hash"] == status["genesis_hash"]
    listed = json.loads(full.ask("GET", "/state?prefix=" + b"model/".hex())[2])
    assert len(listed["items"]) == 1
    key = listed["items"][0]["key"]
    found = json.loads(full.ask("GET", f"/state/{key}?prove=1")[2])
    assert found["items"][0]["value"] == listed["items"][0]["value"]
    assert found["items"][0]["proof"]
    assert json.loads(full.ask("GET", "/events?after=0")[2])["snapshot"] is True


def test_the_ledgers_door_speaks_messages(full):
    for path in ("/message", "/ledger"):
        body = full.ask("POST", path, encode_frame(GetStatus()))[2]
        assert isinstance(FrameReader().feed(body)[0], Status)
        body = full.ask("POST", path, encode_frame(GetHeader(height=1)))[2]
        assert isinstance(FrameReader().feed(body)[0], GotHeader)


@pytest.mark.parametrize(
    ("method", "path", "code", "expected"),
    [
        ("GET", "/headers/99999999", "full.no-such-height", 404),
        ("GET", "/headers/-1", "door.bad-query", 400),
        ("GET", "/headers/" + "9" * 40, "door.bad-query", 400),
        ("GET", "/headers/\u0661".encode().decode("latin-1"), "door.bad-query", 400),
        ("GET", "/state/zz", "hex.malformed", 400),
        ("GET", "/state/" + "00" * 300, "door.bad-query", 400),
        ("GET", "/state", "door.bad-query", 400),
        ("GET", "/state?prefix=00&limit=0", "door.bad-query", 400),
        ("GET", "/state?" + "a=b&" * 3000, "door.bad-query", 400),
        ("GET", "/transactions/" + "00" * 32, "full.unknown-transaction", 404),
        ("GET", "/transactions", "door.wrong-method", 405),
        ("POST", "/transactions", "encoding.malformed", 400),
        ("PUT", "/status", "door.wrong-method", 405),
    ],
)
def test_the_ledgers_door_refuses(full, method, path, code, expected):
    status, headers, body = full.ask(method, path.replace("\xd9\xa1", "%D9%A1"))
    assert headers["content-type"] == "application/problem+json"
    assert (problem_of(body)["code"], status) == (code, expected)


def test_a_gateway_without_a_ledger_says_so(gateway):
    assert gateway.ask("GET", "/v2/health/live")[0] == 200
    assert gateway.ask("GET", "/v2/health/ready")[0] == 503
    assert json.loads(gateway.ask("GET", "/healthz")[2]) == {"serving": True, "ready": False}
    body = b'{"inputs":[{"name":"x","shape":[1],"datatype":"UINT8","data":[1]}]}'
    status, _, answer = gateway.ask("POST", "/v2/models/m/infer", body)
    assert status == 503
    assert "[gateway.not-ready]" in json.loads(answer)["error"]


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "expected", "kind"),
    [
        (
            "POST",
            "/v1/embeddings",
            b'{"model":"m","input":"a"}',
            "gateway.not-ready",
            503,
            "server_error",
        ),
        ("POST", "/v1/embeddings", b"{", "openai.malformed", 400, "invalid_request_error"),
        (
            "POST",
            "/v1/embeddings",
            b"x" * (5 << 20),
            "door.too-large",
            413,
            "invalid_request_error",
        ),
        ("GET", "/v1/embeddings", b"", "door.wrong-method", 405, "invalid_request_error"),
        ("GET", "/v1/models/m", b"", "gateway.not-ready", 503, "server_error"),
        ("GET", "/v1/models/M@@", b"", "gateway.unknown-model", 404, "invalid_request_error"),
        ("POST", "/v1/models", b"", "door.wrong-method", 405, "invalid_request_error"),
        ("POST", "/v1/images", b"{}", "door.no-such-path", 404, "invalid_request_error"),
        ("POST", "/v1/chat/completions", b"{}", "openai.malformed", 400, "invalid_request_error"),
        ("GET", "/v1/completions", b"", "door.wrong-method", 405, "invalid_request_error"),
    ],
)
def test_the_embeddings_door_refuses_in_its_own_form(
    gateway, method, path, body, code, expected, kind
):
    status, found, answer = gateway.ask(method, path, body)
    assert (status, found["content-type"]) == (expected, "application/json")
    error = json.loads(answer)["error"]
    assert (error["code"], error["type"]) == (code, kind)
    assert ("retry-after" in found) == (status == 503)


def test_an_empty_list_of_models_is_a_list(gateway):
    assert json.loads(gateway.ask("GET", "/v1/models")[2]) == {"object": "list", "data": []}


ASK = b'{"inputs":[]}'


@pytest.mark.parametrize(
    ("path", "body", "headers", "code", "expected"),
    [
        ("/v2/models/M/infer", ASK, {}, "gateway.unknown-model", 404),
        ("/v2/models/m/versions/%20/infer", ASK, {}, "gateway.unknown-model", 404),
        ("/v2/models/m/infer", b"{", {}, "oip.malformed", 400),
        ("/v2/models/m/infer", ASK, {"Probatum-Salt": "00"}, "primitive.bad-length", 400),
        ("/v2/models/m/infer", ASK, {"Probatum-Salt": "AA" * 32}, "hex.malformed", 400),
        ("/v2/models/m/infer", ASK, {"Probatum-Nonce": "x"}, "hex.malformed", 400),
        ("/v2/models/m/infer", ASK, {"Probatum-Request": "x"}, "primitive.bad-request-id", 400),
        ("/v2/models/m/infer", ASK, {"Probatum-Node": "node-1"}, "primitive.bad-address", 400),
        ("/v2/models/m/infer", ASK, {"Content-Encoding": "gzip"}, "door.wrong-type", 415),
        (
            "/v2/models/m/infer",
            ASK + b"1234",
            {"Inference-Header-Content-Length": "13"},
            "oip.bad-binary",
            400,
        ),
        (
            "/v2/models/m/infer",
            ASK,
            {"Inference-Header-Content-Length": "-1"},
            "door.bad-header",
            400,
        ),
        ("/v2/repository/index", b"[]", {}, "oip.malformed", 400),
        ("/v2/repository/index", b" " * 5000, {}, "door.too-large", 413),
        ("/v2/models/m", b"", {}, "door.wrong-method", 405),
        ("/v2/models/m/infer", b"x" * (33 << 20), {}, "door.too-large", 413),
        ("/v2/elsewhere", ASK, {}, "door.no-such-path", 404),
        ("/v2/health/live", ASK, {}, "door.wrong-method", 405),
    ],
)
def test_the_inference_protocols_door_refuses_in_its_own_form(
    gateway, path, body, headers, code, expected
):
    status, found, answer = gateway.ask("POST", path, body, headers)
    assert (status, found["content-type"]) == (expected, "application/json")
    error = json.loads(answer)
    assert set(error) == {"error"}
    assert f"[{code}]" in error["error"]


@pytest.fixture
def guarded(tmp_path):
    """A gateway's door with keys and narrow limits."""
    network = Network()
    settings = GatewaySettings(
        operator=account("gateway").address,
        signer=operating("gateway"),
        trust=network.trust,
        ledger=CLOSED_LEDGER,
    )
    machine = Gateway(settings, ())
    text, _ = add_key(tmp_path, per_s=0.01)
    rules = DoorRules(gate=Gate(GateRules(anonymous=False), ApiKeys(tmp_path)), request_bytes=SMALL)
    with serving(
        machine, lambda driver: make_gateway_app(driver, machine, rules), transport=HttpTransport()
    ) as served:
        served.key = {"Authorization": f"Bearer {text}"}
        yield served


def test_a_door_with_keys_says_no_before_it_reads(guarded):
    """In each door's form; only the head of a body that is announced was sent."""
    head = "POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n"
    for path in ("/message", "/ask", "/v2/models/m/infer", "/v1/embeddings", "/v1/completions"):
        answer = guarded.say(head.format(path).encode())
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"door.no-key" in answer
        assert b"www-authenticate: Bearer" in answer
    status, headers, body = guarded.ask("POST", "/v2/models/m/infer", ASK, guarded.key)
    assert (status, headers["retry-after"]) == (503, "1")
    assert "[gateway.not-ready]" in json.loads(body)["error"]
    status, headers, body = guarded.ask("POST", "/v2/models/m/infer", ASK, guarded.key)
    assert status == 429
    assert "[door.too-often]" in json.loads(body)["error"]
    assert int(headers["retry-after"]) in range(98, 101)
    status, headers, body = guarded.ask("POST", "/message", ASK, guarded.key)
    assert (status, problem_of(body)["code"]) == (429, "door.too-often")
    # What tells nothing of anybody's requests stays open.
    for path in ("/healthz", "/v2/health/live", "/v2"):
        assert guarded.ask("GET", path)[0] == 200


def test_the_size_of_a_request_is_the_operators_to_say(guarded):
    status, _, body = guarded.ask("POST", "/v2/models/m/infer", b"x" * (SMALL + 1), guarded.key)
    assert status == 413
    assert "[door.too-large]" in json.loads(body)["error"]


def test_bundles_that_are_not_there(gateway):
    status, _, body = gateway.ask("GET", "/receipts/" + "0" * 26)
    assert (status, problem_of(body)["code"]) == (404, "gateway.unknown-request")
    status, _, body = gateway.ask("GET", "/receipts/nonsense")
    assert (status, problem_of(body)["code"]) == (400, "primitive.bad-request-id")


@pytest.mark.parametrize(
    ("path", "code", "expected"),
    [
        ("/log/0/checkpoint", "log.unknown-session", 404),
        ("/log/x/checkpoint", "log.unknown-session", 404),
        ("/log/" + "9" * 30 + "/checkpoint", "log.unknown-session", 404),
        ("/log/0/" + "x" * 300, "tile.not-there", 404),
        ("/packages/" + "00" * 32 + "/manifest", "package.not-here", 404),
        ("/packages/zz/files/a", "package.not-here", 404),
        ("/packages/" + "00" * 32 + "/signature", "package.not-here", 404),
        ("/packages/" + "00" * 32 + "/files/../../etc/passwd", "package.not-here", 404),
    ],
)
def test_a_nodes_door_refuses(inference, path, code, expected):
    status, _, body = inference.ask("GET", path)
    assert (problem_of(body)["code"], status) == (code, expected)


ROUTES = {
    "full": """/message /ledger /status /headers/{} /state/{} /state?prefix={} /transactions
        /transactions/{} /events?after={}&prefix={} /healthz /{}""".split(),
    "gateway": """/message /ask /v2/models/{}/infer /v2/models/{}/versions/{}/infer /v2
        /v2/models/{}/ready /v2/models/{} /v2/repository/index /v2/{} /receipts/{} /healthz
        /v1/models /v1/models/{} /v1/embeddings /v1/{}
        /{}""".split(),
    "inference": """/message /handover /log/{}/{} /log/key /packages/{}/files/{}
        /packages/{}/manifest /packages/{}/signature /healthz /{}""".split(),
}


@pytest.mark.parametrize("role", sorted(ROUTES))
def test_random_bytes_never_are_an_error_of_ours(role, request, seed_round):
    """Whatever is sent wherever: never a 500, and the party still serves."""
    served = request.getfixturevalue(role)
    chance = random.Random(f"{role} {seed_round}")
    frame = encode_frame(GetHeader(height=1))
    words = ["0", "last", "%00", "%ff%fe", "..", "%2e%2e", "00" * 32, "a" * 3000, "%F0%9F%92%A9"]
    for _ in range(150):
        route = chance.choice(ROUTES[role])
        while "{}" in route:
            route = route.replace("{}", chance.choice(words), 1)
        method = chance.choice(["GET", "POST", "POST", "POST", "PUT", "HEAD", "OPTIONS", "PATCH"])
        body = chance.choice(
            [
                chance.randbytes(chance.randrange(200)),
                bytes(b ^ (chance.random() < 0.1) for b in frame),
                b'{"inputs":' + chance.randbytes(20),
                b"[" * 5000,
                (20).to_bytes(4, "big") + b"\x93" + chance.randbytes(19),
            ]
        )
        status, _, _ = served.ask(method, route, body)
        assert status != 500, (method, route, body)
    assert served.ask("GET", "/healthz")[0] == 200
