"""Servers without evidence, to see what evidence costs.

`one` answers the Open Inference Protocol in one process: the HTTP server, codec and model session
that Probatum's own parties run with, and nothing else. `front` and `back` are the same in two
processes, with one framed message each way between them, as between a gateway and a node.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import uvloop
from starlette.types import ASGIApp, Receive, Scope, Send

from probatum.client.transport import HttpTransport
from probatum.hub.package import load_package
from probatum.nodes.shell.front import FRAMES_TYPE, JSON_TYPE, FrontDoor, read_message, respond
from probatum.nodes.shell.intake import Intake
from probatum.nodes.shell.serve import bind, make_server
from probatum.protocol import limits, oip
from probatum.protocol.frames import encode_frame
from probatum.protocol.messages import Answer, Ask
from probatum.protocol.primitives import make_salt
from probatum.protocol.tensors import Tensor
from probatum.runtime.session import OnnxSession


def load(folder: str) -> OnnxSession:
    package = load_package(Path(folder))
    return OnnxSession(package.manifest, (package.folder / package.manifest.model).read_bytes())


def make_app(kind: str, what: str) -> ASGIApp:
    intake = Intake()
    session = None if kind == "front" else load(what)
    transport = HttpTransport()

    async def compute(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if session is not None:
            return session.run(tensors)
        question = Ask(
            model="mlp",
            version=None,
            inputs=tensors,
            assurance="signed",
            salt=None,
            nonce=None,
            request_id=None,
            timeout_ms=60_000,
        )
        answer = await transport.ask(what, question, 60)
        assert isinstance(answer, Answer)
        return answer.outputs

    async def infer(scope: Scope, receive: Receive, send: Send) -> None:
        body = await intake.read(scope, receive, limit_bytes=limits.REQUEST_BYTES)
        asked = oip.decode_infer_request(body)
        outputs = await compute(asked.tensors)
        intake.release(len(body))
        response = oip.InferResponse(
            model_name="mlp", model_version="1", id=asked.id, tensors=outputs, parameters={}
        )
        await respond(send, 200, oip.encode_infer_response(response), JSON_TYPE)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        body = await intake.read(scope, receive, limit_bytes=limits.REQUEST_BYTES)
        question = read_message(body, (Ask,))
        assert isinstance(question, Ask)
        outputs = await compute(question.inputs)
        intake.release(len(body))
        told = Answer(request_id="0" * 26, outputs=outputs, salt=make_salt(bytes(32)), bundle=b"")
        await respond(send, 200, encode_frame(told), FRAMES_TYPE)

    return FrontDoor(exact={"/v2/models/mlp/infer": infer, "/message": answer})


async def serve(kind: str, what: str) -> None:
    door = bind("127.0.0.1", 0)
    door.listen()

    def ready() -> None:
        print(door.getsockname()[1], flush=True)

    server = make_server(make_app(kind, what), ready)
    await server.serve(sockets=[door])


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(sys.argv[1], sys.argv[2]))
