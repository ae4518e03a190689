"""The OpenAI API's door: models and embeddings.

Token ids are the evidence, text never is: the gateway turns text into tokens with the tokenizer
that the package itself brings, and says in the answer which ones they were, so that a client can
hold the receipt to them. An embedding model takes `input_ids` and `attention_mask` (int64 [n, s];
`token_type_ids` too, if it wants them) and gives float32 [n, d]. Must not know routing or custody.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from probatum.errors import Misuse, ProbatumError, Refusal
from probatum.nodes.gateway.doors.headers import RECEIPT, read_said
from probatum.nodes.gateway.doors.models import Catalogue, read_model
from probatum.nodes.shell.drive import Driver
from probatum.nodes.shell.front import JSON_TYPE, ask_party, respond
from probatum.nodes.shell.gate import Gate
from probatum.nodes.shell.intake import Intake
from probatum.nodes.shell.pages import Page, Shown
from probatum.nodes.shell.problems import PartyRefusal, get_headers, get_status
from probatum.nodes.shell.tokenising import TokenShelf
from probatum.protocol import limits, openai
from probatum.protocol.manifests import Manifest, TensorSpec
from probatum.protocol.messages import Answer, Ask
from probatum.protocol.primitives import address_to_hex
from probatum.protocol.records import ModelRecord
from probatum.protocol.tensors import Tensor

__all__ = ["make_routes"]

_TIMEOUT_MS: Final = 60_000
"""More patience than a gateway has; it bounds requests itself."""
_IDS: Final = "input_ids"
_MASK: Final = "attention_mask"
_TYPES: Final = "token_type_ids"
_ID_BYTES: Final = 8
_LONGEST: Final = 8_192
_KINDS: Final = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}


class _Door:
    """Gives an endpoint this API's form of refusal."""

    def __init__(self, endpoint: ASGIApp) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._endpoint(scope, receive, send)
        except ProbatumError as error:
            status = get_status(error)
            text = error.message + (f"; {error.hint}" if error.hint else "")
            usual = "invalid_request_error" if status < 500 else "server_error"
            detail = openai.ErrorDetail(
                message=text, type=_KINDS.get(status, usual), code=error.code
            )
            head = get_headers(error, status)
            refused = error.refused if isinstance(error, PartyRefusal) else None
            if refused is not None and refused.request_id is not None:
                head = (*head, (RECEIPT, refused.request_id.encode()))
            body = openai.encode_body(openai.ErrorBody(error=detail))
            closing = status in {408, 413}
            await respond(send, status, body, JSON_TYPE, headers=head, closing=closing)


def make_routes(
    driver: Driver, models: Catalogue, intake: Intake, gate: Gate, *, limit_bytes: int
) -> tuple[BaseRoute, ...]:
    """Make the routes below ``/v1``, and an answer for every other path there."""

    async def show_models(_: Scope) -> Shown:
        cards: list[openai.ModelCard] = []
        for model in models.list():
            newest = models.find(model.name, None)
            if newest is not None and newest.version == model.version:
                cards.append(_describe(model.name, model))
            cards.append(_describe(f"{model.name}@{model.version}", model))
        return Shown(body=openai.encode_body(openai.ModelList(data=tuple(cards))))

    async def show_model(scope: Scope) -> Shown:
        name = scope["path_params"]["name"]
        return Shown(body=openai.encode_body(_describe(name, models.get(*_read_name(name)))))

    async def refuse(_: Scope, __: Receive, ___: Send) -> None:
        raise Refusal("door.no-such-path", "this gateway has models and embeddings here")

    embed = _Embed(driver, models, intake, gate, min(limit_bytes, openai.BODY_BYTES))
    return (
        Route("/v1/models", _Door(Page(show_models))),
        Route("/v1/models/{name}", _Door(Page(show_model))),
        Route("/v1/embeddings", _Door(embed)),
        Route("/v1/{rest:path}", _Door(refuse)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """The token ids of a request, a row an input.

    Attributes:
        cut: Places of inputs that had more than the model takes.
    """

    rows: tuple[tuple[int, ...], ...]
    pad_token: int
    cut: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """How many tokens there are, padding apart."""
        return sum(len(row) for row in self.rows)


class _Embed:
    """``POST /v1/embeddings``."""

    def __init__(
        self, driver: Driver, models: Catalogue, intake: Intake, gate: Gate, limit_bytes: int
    ) -> None:
        self._driver = driver
        self._models = models
        self._intake = intake
        self._gate = gate
        self._limit_bytes = limit_bytes
        self._shelf = TokenShelf()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            raise Refusal("door.wrong-method", "embeddings are asked for by POST")
        with self._gate.enter(scope) as caller:
            await self._serve(scope, receive, send, caller)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, caller: str) -> None:
        said = read_said(scope)
        body = await self._intake.read(scope, receive, limit_bytes=self._limit_bytes)
        size = len(body)
        try:
            asked = openai.decode_embedding_request(body)
            model = self._models.get(*_read_name(asked.model))
            manifest = await self._models.get_manifest(scope, model)
            output = _find_output(manifest)
            read = await self._read(asked, model, manifest)
            ask = Ask(
                model=model.name,
                version=model.version,
                inputs=_make_inputs(manifest, read),
                assurance="signed",
                salt=said.salt,
                nonce=said.nonce,
                request_id=said.request_id,
                timeout_ms=_TIMEOUT_MS,
            )
            answer = await ask_party(self._driver, scope, ask, caller)
        finally:
            self._intake.release(size)
        if not isinstance(answer, Answer):
            raise Misuse("openai.not-an-answer", "the gateway answered an Ask by something else")
        try:
            shown = _encode_answer(asked, model, output, read, answer)
        except Refusal as refusal:
            # The answer exists and is paid for: its bundle can still be asked for.
            raise PartyRefusal.from_refusal(refusal, answer.request_id) from None
        head = ((RECEIPT, answer.request_id.encode()),)
        await respond(send, HTTPStatus.OK, shown, JSON_TYPE, headers=head)

    async def _read(
        self, asked: openai.EmbeddingRequest, model: ModelRecord, manifest: Manifest
    ) -> _Read:
        """Get the request's tokens: the client's own, or those of its texts."""
        if asked.tokens:
            longest = max(len(row) for row in asked.tokens)
            most = manifest.max_tokens or _LONGEST
            if longest > most:
                raise Refusal("openai.too-long", f"{longest} tokens; this model takes {most}")
            return _Read(rows=asked.tokens, pad_token=0)
        sources = self._models.list_sources(model)
        tokenizer = await self._shelf.get(model.package, manifest, sources)
        found = await self._shelf.encode(tokenizer, asked.texts)
        return _Read(
            rows=tuple(ids for ids, _ in found),
            pad_token=tokenizer.pad_id,
            cut=tuple(place for place, (_, is_cut) in enumerate(found) if is_cut),
        )


def _read_name(text: str) -> tuple[str, str | None]:
    """Read ``name`` or ``name@version``."""
    name, at, version = text.partition("@")
    return read_model(name, version if at else None)


def _describe(shown: str, model: ModelRecord) -> openai.ModelCard:
    return openai.ModelCard(id=shown, owned_by=address_to_hex(model.publisher))


def _find_output(manifest: Manifest) -> TensorSpec:
    """Find the output that holds a row an input; check that the inputs are tokens.

    Raises:
        Refusal: `openai.no-embeddings`.
    """
    names = {spec.name for spec in manifest.inputs}
    tokens = all(spec.dtype == "int64" and len(spec.shape) == 2 for spec in manifest.inputs)
    rows = [spec for spec in manifest.outputs if spec.dtype == "float32" and len(spec.shape) == 2]
    if not tokens or _IDS not in names or names - {_IDS, _MASK, _TYPES} or len(rows) != 1:
        raise Refusal(
            "openai.no-embeddings",
            "this model does not turn tokens into embeddings",
            hint="its own inputs and outputs are at GET /v2/models/<name>",
        )
    return rows[0]


def _make_inputs(manifest: Manifest, read: _Read) -> tuple[Tensor, ...]:
    """Make the model's inputs: rows padded at the end to the longest, masked there.

    Raises:
        Refusal: `openai.too-large`.
    """
    count, width = len(read.rows), max(1, *(len(row) for row in read.rows))
    if count * width * _ID_BYTES * len(manifest.inputs) > limits.REQUEST_BYTES:
        raise Refusal("openai.too-large", "too many tokens at one time", hint="split the request")
    made = {_IDS: bytearray(), _MASK: bytearray(), _TYPES: bytearray()}
    for row in read.rows:
        rest = width - len(row)
        made[_IDS] += struct.pack(f"<{width}q", *row, *((read.pad_token,) * rest))
        made[_MASK] += struct.pack(f"<{width}q", *((1,) * len(row)), *((0,) * rest))
        made[_TYPES] += bytes(width * _ID_BYTES)
    return tuple(
        Tensor(name=spec.name, dtype="int64", shape=(count, width), data=bytes(made[spec.name]))
        for spec in manifest.inputs
    )


def _encode_answer(
    asked: openai.EmbeddingRequest,
    model: ModelRecord,
    output: TensorSpec,
    read: _Read,
    answer: Answer,
) -> bytes:
    rows = next(tensor for tensor in answer.outputs if tensor.name == output.name)
    if rows.shape[0] != len(read.rows):
        raise Refusal(
            "openai.no-embeddings", f"the model gave {rows.shape[0]} rows for {len(read.rows)}"
        )
    if asked.dimensions is not None and asked.dimensions != rows.shape[1]:
        raise Refusal(
            "openai.other-dimensions", f"this model's embeddings have {rows.shape[1]} dimensions"
        )
    return openai.encode_embeddings(
        rows,
        asked.encoding_format,
        model=asked.model,
        usage=openai.Usage(prompt_tokens=read.count, total_tokens=read.count),
        evidence=openai.Evidence(
            receipt=answer.request_id,
            salt=answer.salt.hex(),
            package=model.package.hex(),
            tokens=read.rows,
            pad_token=read.pad_token,
            cut=read.cut,
        ),
    )
