"""The Open Inference Protocol's door, version 2 over REST, JSON alone.

Translates between that protocol's paths and bodies and the gateway's `Ask` and `Answer`. What
the protocol has no word for travels in headers: ``Probatum-Salt`` and ``Probatum-Nonce`` (hex,
drawn by the gateway if absent), ``Probatum-Request`` (an id, to repeat a request under the same
salt), and in answers ``Probatum-Receipt``; the salt is among the answer's parameters, since it
opens the receipt's roots (`SALT-1`). Refusals have that protocol's form. Must not know routing or
custody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final, Protocol, TypeVar

import msgspec
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from probatum import __version__
from probatum.client.ledger_view import LedgerView
from probatum.errors import Misuse, ProbatumError, Refusal
from probatum.nodes.shell.drive import Driver
from probatum.nodes.shell.front import JSON_TYPE, ask_party, respond
from probatum.nodes.shell.intake import Intake
from probatum.nodes.shell.pages import Page, Shown
from probatum.nodes.shell.problems import PartyRefusal, get_status
from probatum.protocol import limits, oip
from probatum.protocol.hexes import bytes_from_hex
from probatum.protocol.messages import Answer, Ask
from probatum.protocol.parties import ModelName, ModelVersion
from probatum.protocol.primitives import (
    Nonce,
    RequestId,
    Salt,
    check_request_id,
    make_nonce,
    make_salt,
)
from probatum.protocol.tensors import Tensor

__all__ = ["GatewayView", "make_endpoints", "make_routes"]

_TIMEOUT_MS: Final = 60_000
"""More patience than a gateway has; it bounds requests itself."""
_RECEIPT: Final = b"probatum-receipt"
_H = TypeVar("_H")


class GatewayView(Protocol):
    """What the door reads of the gateway's machine."""

    @property
    def view(self) -> LedgerView:
        """The ledger as the gateway follows it."""
        ...

    @property
    def is_ready(self) -> bool:
        """Whether it takes requests."""
        ...


class _Door:
    """Gives an endpoint this protocol's form of refusal."""

    def __init__(self, endpoint: ASGIApp) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._endpoint(scope, receive, send)
        except ProbatumError as error:
            text = f"{error.message} [{error.code}]" + (f"; {error.hint}" if error.hint else "")
            refused = error.refused if isinstance(error, PartyRefusal) else None
            head: tuple[tuple[bytes, bytes], ...] = ()
            if refused is not None and refused.request_id is not None:
                head = ((_RECEIPT, refused.request_id.encode()),)
            status = get_status(error)
            body = oip.encode_body(oip.ErrorBody(error=text))
            closing = status in {408, 413}
            await respond(send, status, body, JSON_TYPE, headers=head, closing=closing)


def make_endpoints(gateway: GatewayView) -> Mapping[str, ASGIApp]:
    """Make the endpoints whose paths are fixed."""

    async def show_server(_: Scope) -> Shown:
        body = oip.ServerMetadata(name="probatum", version=__version__)
        return Shown(body=oip.encode_body(body))

    async def show_live(_: Scope) -> Shown:
        return Shown(body=oip.encode_body(oip.ServerLive(live=True)))

    async def show_ready(_: Scope) -> Shown:
        ready = gateway.is_ready
        return _show_ready(oip.encode_body(oip.ServerReady(ready=ready)), ready=ready)

    return {
        "/v2": _Door(Page(show_server)),
        "/v2/": _Door(Page(show_server)),
        "/v2/health/live": _Door(Page(show_live)),
        "/v2/health/ready": _Door(Page(show_ready)),
    }


def make_routes(driver: Driver, gateway: GatewayView, intake: Intake) -> tuple[BaseRoute, ...]:
    """Make the routes that name a model, and an answer for every other path below ``/v2``."""

    async def show_model_ready(scope: Scope) -> Shown:
        name, version = _read_model(scope)
        model = gateway.view.get_model(name, version)
        if model is None:
            raise Refusal("gateway.unknown-model", "the ledger knows no such model")
        ready = gateway.is_ready and bool(gateway.view.get_offers(model.package))
        return _show_ready(oip.encode_body(oip.ModelReady(name=name, ready=ready)), ready=ready)

    async def refuse(_: Scope, __: Receive, ___: Send) -> None:
        raise Refusal("door.no-such-path", "there is nothing at this path")

    infer = _Door(_Infer(driver, intake))
    ready = _Door(Page(show_model_ready))
    versioned = "/v2/models/{name}/versions/{version}"
    return (
        Route("/v2/models/{name}/infer", infer),
        Route(f"{versioned}/infer", infer),
        Route("/v2/models/{name}/ready", ready),
        Route(f"{versioned}/ready", ready),
        Route("/v2/{rest:path}", _Door(refuse)),
    )


class _Infer:
    """``POST …/infer``."""

    def __init__(self, driver: Driver, intake: Intake) -> None:
        self._driver = driver
        self._intake = intake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            raise Refusal("door.wrong-method", "inference is asked for by POST")
        name, version = _read_model(scope)
        salt, nonce, request_id = _read_headers(scope)
        body = await self._intake.read(scope, receive, limit_bytes=limits.REQUEST_BYTES)
        size = len(body)
        try:
            asked = oip.decode_infer_request(body)
            del body  # the tensors are copies; what is held is still counted
            ask = Ask(
                model=name,
                version=version,
                inputs=asked.tensors,
                assurance="signed",
                salt=salt,
                nonce=nonce,
                request_id=request_id,
                timeout_ms=_TIMEOUT_MS,
            )
            answer = await ask_party(self._driver, scope, ask)
        finally:
            self._intake.release(size)
        if not isinstance(answer, Answer):
            raise Misuse("oip.not-an-answer", "the gateway answered an Ask by something else")
        try:
            shown = _encode_answer(name, version, asked, answer)
        except Refusal as refusal:
            # The answer exists and is paid for: its bundle can still be asked for.
            raise PartyRefusal.from_refusal(refusal, answer.request_id) from None
        head = ((_RECEIPT, answer.request_id.encode()),)
        await respond(send, HTTPStatus.OK, shown, JSON_TYPE, headers=head)


def _encode_answer(
    name: str, version: str | None, asked: oip.InferRequest, answer: Answer
) -> bytes:
    return oip.encode_infer_response(
        oip.InferResponse(
            model_name=name,
            model_version=version,
            id=asked.id,
            tensors=_select(answer.outputs, asked.outputs),
            parameters={
                "probatum_receipt": answer.request_id,
                "probatum_salt": answer.salt.hex(),
            },
        )
    )


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
    version = parameters.get("version")
    try:
        name: str = msgspec.convert(parameters["name"], ModelName)
        return name, None if version is None else msgspec.convert(version, ModelVersion)
    except msgspec.ValidationError:
        raise Refusal("gateway.unknown-model", "no model has such a name or version") from None


def _read_headers(scope: Scope) -> tuple[Salt | None, Nonce | None, RequestId | None]:
    found: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        if name in _HEADERS:
            if name in found:
                raise Refusal("oip.bad-header", f"{name.decode()} is there twice")
            found[name] = value.decode("latin-1")
    if found.get(b"content-encoding", "identity").lower() != "identity":
        raise Refusal("door.wrong-type", "compressed bodies are not taken")
    length = found.get(b"inference-header-content-length")
    if length is not None and length != found.get(b"content-length"):
        raise Refusal(
            "oip.binary-data",
            "binary tensors are not taken here",
            hint="send data as JSON; in tritonclient: binary_data=False",
        )
    return (
        _read_bytes(found.get(b"probatum-salt"), make_salt),
        _read_bytes(found.get(b"probatum-nonce"), make_nonce),
        _read_request_id(found.get(b"probatum-request")),
    )


_HEADERS: Final = frozenset(
    {
        b"content-encoding",
        b"content-length",
        b"inference-header-content-length",
        b"probatum-nonce",
        b"probatum-request",
        b"probatum-salt",
    }
)


def _read_bytes(text: str | None, make: Callable[[bytes], _H]) -> _H | None:
    return None if text is None else make(bytes_from_hex(text))


def _read_request_id(text: str | None) -> RequestId | None:
    return None if text is None else check_request_id(text)
