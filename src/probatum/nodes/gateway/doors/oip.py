"""The Open Inference Protocol's door, version 2 over REST, with the binary tensor extension.

Translates between that protocol's paths and bodies and the gateway's `Ask` and `Answer`. What
the protocol has no word for travels in headers: ``Probatum-Salt`` and ``Probatum-Nonce`` (hex,
drawn by the gateway if absent), ``Probatum-Request`` (an id, to repeat a request under the same
salt), and in answers ``Probatum-Receipt``; the salt is among the answer's parameters, since it
opens the receipt's roots (`SALT-1`). The request's parameter ``probatum_arithmetic`` is ``exact``
where the canonical answer is wanted (`EXACT-1`). Inputs may come in any order. Refusals have that
protocol's form. Must not know routing or custody.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from probatum import __version__
from probatum.errors import ProbatumError, Refusal
from probatum.nodes.gateway.doors.asking import AskEndpoint, Door, DoorParts, Question, Written
from probatum.nodes.gateway.doors.headers import HEAD_LENGTH, Said
from probatum.nodes.gateway.doors.models import Catalogue, GatewayView, read_model
from probatum.nodes.shell.front import JSON_TYPE, respond
from probatum.nodes.shell.intake import Intake
from probatum.nodes.shell.pages import BYTES_TYPE, Page, Shown
from probatum.protocol import limits, oip, oip_binary
from probatum.protocol.messages import Answer
from probatum.protocol.parties import ArithmeticClass
from probatum.protocol.tensors import Tensor

__all__ = ["make_endpoints", "make_routes"]

_PLATFORM: Final = "onnxruntime_onnx"
_INDEX: Final = "model_repository"
_INDEX_BYTES: Final = 4 * limits.KIB


def _write_refusal(error: ProbatumError, _: int) -> bytes:
    text = f"{error.message} [{error.code}]" + (f"; {error.hint}" if error.hint else "")
    return oip.encode_body(oip.ErrorBody(error=text))


def _door(endpoint: ASGIApp) -> Door:
    return Door(endpoint, _write_refusal)


def make_endpoints(gateway: GatewayView) -> Mapping[str, ASGIApp]:
    """Make the endpoints whose paths are fixed."""

    async def show_server(_: Scope) -> Shown:
        body = oip.ServerMetadata(
            name="probatum", version=__version__, extensions=(oip_binary.EXTENSION, _INDEX)
        )
        return Shown(body=oip.encode_body(body))

    async def show_live(_: Scope) -> Shown:
        return Shown(body=oip.encode_body(oip.ServerLive(live=True)))

    async def show_ready(_: Scope) -> Shown:
        ready = gateway.is_ready
        return _show_ready(oip.encode_body(oip.ServerReady(ready=ready)), ready=ready)

    return {
        "/v2": _door(Page(show_server)),
        "/v2/": _door(Page(show_server)),
        "/v2/health/live": _door(Page(show_live)),
        "/v2/health/ready": _door(Page(show_ready)),
    }


def make_routes(parts: DoorParts) -> tuple[BaseRoute, ...]:
    """Make the routes that name a model, and an answer for every other path below ``/v2``."""

    async def refuse(_: Scope, __: Receive, ___: Send) -> None:
        raise Refusal("door.no-such-path", "there is nothing at this path")

    pages = _ModelPages(parts.models, parts.intake)
    ends: tuple[tuple[str, ASGIApp], ...] = (
        ("", Page(pages.show_metadata)),
        ("/ready", Page(pages.show_ready)),
        ("/infer", AskEndpoint(parts, _Infer(parts.models), limit_bytes=parts.limit_bytes)),
    )
    base = "/v2/models/{name}"
    return (
        *(Route(f"{base}{end}", _door(page)) for end, page in ends),
        *(Route(f"{base}/versions/{{version}}{end}", _door(page)) for end, page in ends),
        Route("/v2/repository/index", _door(pages.show_index)),
        Route("/v2/{rest:path}", _door(refuse)),
    )


class _ModelPages:
    """What there is to know of models."""

    def __init__(self, models: Catalogue, intake: Intake) -> None:
        self._models = models
        self._intake = intake

    async def show_ready(self, scope: Scope) -> Shown:
        model = self._models.get(*_read_model(scope))
        ready = self._models.is_ready(model)
        return _show_ready(
            oip.encode_body(oip.ModelReady(name=model.name, ready=ready)), ready=ready
        )

    async def show_metadata(self, scope: Scope) -> Shown:
        model = self._models.get(*_read_model(scope))
        manifest = await self._models.get_manifest(scope, model)
        body = oip.ModelMetadata(
            name=model.name,
            versions=tuple(one.version for one in self._models.list() if one.name == model.name),
            platform=_PLATFORM,
            inputs=oip.describe_tensors(manifest.inputs),
            outputs=oip.describe_tensors(manifest.outputs),
        )
        return Shown(body=oip.encode_body(body))

    async def show_index(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            raise Refusal("door.wrong-method", "the index is asked for by POST")
        body = await self._intake.read(scope, receive, limit_bytes=_INDEX_BYTES)
        self._intake.release(len(body))
        ready_only = oip.decode_index_request(body).ready
        models = []
        for model in self._models.list():
            ready = self._models.is_ready(model)
            if ready or not ready_only:
                state, reason = ("READY", "") if ready else ("UNAVAILABLE", "nobody offers it")
                models.append(
                    oip.IndexedModel(
                        name=model.name, version=model.version, state=state, reason=reason
                    )
                )
        await respond(send, HTTPStatus.OK, oip.encode_index(tuple(models)), JSON_TYPE)


class _Infer:
    """``POST …/infer``; remembers what the request said of its answer."""

    def __init__(self, models: Catalogue) -> None:
        self._models = models

    async def read(
        self, scope: Scope, body: bytes, said: Said
    ) -> tuple[Question, oip.InferRequest]:
        name, version = _read_model(scope)
        asked = oip.decode_infer_request(body, said.head_bytes)
        inputs = await self._arrange(scope, name, version, asked.tensors)
        arithmetic = _read_class(asked)
        question = Question(model=name, version=version, inputs=inputs, arithmetic=arithmetic)
        return question, asked

    def write(self, question: Question, asked: oip.InferRequest, answer: Answer) -> Written:
        outputs = _select(answer.outputs, asked.outputs)
        response = oip.InferResponse(
            model_name=question.model,
            model_version=question.version,
            id=asked.id,
            tensors=outputs,
            parameters={
                "probatum_receipt": answer.request_id,
                "probatum_salt": answer.salt.hex(),
            },
        )
        binary = frozenset(tensor.name for tensor in outputs if asked.is_binary(tensor.name))
        body, head_bytes = oip.encode_mixed_response(response, binary)
        if head_bytes is None:
            return Written(body=body)
        head = ((HEAD_LENGTH, b"%d" % head_bytes),)
        return Written(body=body, content_type=BYTES_TYPE, headers=head)

    async def _arrange(
        self, scope: Scope, name: str, version: str | None, tensors: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """Put inputs into the manifest's order; what does not fit is for the gateway to refuse."""
        model = self._models.find(name, version)
        if len(tensors) < 2 or model is None:
            return tensors
        manifest = await self._models.get_manifest(scope, model)
        by_name = {tensor.name: tensor for tensor in tensors}
        order = [spec.name for spec in manifest.inputs]
        if len(by_name) != len(tensors) or sorted(by_name) != sorted(order):
            return tensors
        return tuple(by_name[one] for one in order)


def _read_class(asked: oip.InferRequest) -> ArithmeticClass:
    """Read the class that a request names among its parameters; `float` if it names none."""
    match asked.parameters.get("probatum_arithmetic", "float"):
        case "float":
            return "float"
        case "exact":
            return "exact"
        case _:
            raise Refusal("oip.unknown-class", "there is no such class", hint='"float" or "exact"')


def _select(outputs: tuple[Tensor, ...], wanted: tuple[str, ...] | None) -> tuple[Tensor, ...]:
    if wanted is None:
        return outputs
    by_name = {tensor.name: tensor for tensor in outputs}
    missing = sorted(set(wanted) - set(by_name))
    if missing:
        raise Refusal(
            "oip.unknown-output",
            f"the model has no output {missing[0]!r}",
            hint="its outputs are " + ", ".join(by_name),
        )
    return tuple(by_name[name] for name in wanted)


def _show_ready(body: bytes, *, ready: bool) -> Shown:
    status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
    return Shown(body=body, status=status)


def _read_model(scope: Scope) -> tuple[str, str | None]:
    parameters = scope["path_params"]
    return read_model(parameters["name"], parameters.get("version"))
