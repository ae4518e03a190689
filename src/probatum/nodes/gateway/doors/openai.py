"""The OpenAI API's door: models and embeddings.

Token ids are the evidence, text never is: the gateway turns text into tokens with the tokenizer
that the package itself brings, and says in the answer which ones they were, so that a client can
hold the receipt to them. An embedding model takes `input_ids` and `attention_mask` (int64 [n, s];
`token_type_ids` too, if it wants them) and gives float32 [n, d]. Must not know routing or custody.
Read next: `openai_text`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from probatum.errors import Refusal
from probatum.nodes.gateway.doors.asking import AskEndpoint, DoorParts, Question, Written
from probatum.nodes.gateway.doors.headers import Said
from probatum.nodes.gateway.doors.models import Catalogue
from probatum.nodes.gateway.doors.openai_form import make_door, read_name
from probatum.nodes.shell.pages import Page, Shown
from probatum.nodes.shell.tokenising import TokenShelf
from probatum.protocol import limits, openai
from probatum.protocol.manifests import Manifest, TensorSpec
from probatum.protocol.messages import Answer
from probatum.protocol.primitives import address_to_hex
from probatum.protocol.records import ModelRecord
from probatum.protocol.tensors import Tensor

__all__ = ["make_routes"]

_IDS: Final = "input_ids"
_MASK: Final = "attention_mask"
_TYPES: Final = "token_type_ids"
_ID_BYTES: Final = 8
_LONGEST: Final = 8_192


def make_routes(parts: DoorParts) -> tuple[BaseRoute, ...]:
    """Make the routes below ``/v1``, and an answer for every other path there."""
    models = parts.models

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
        return Shown(body=openai.encode_body(_describe(name, models.get(*read_name(name)))))

    async def refuse(_: Scope, __: Receive, ___: Send) -> None:
        raise Refusal("door.no-such-path", "there is nothing at this path of the API")

    limit_bytes = min(parts.limit_bytes, openai.BODY_BYTES)
    embed = AskEndpoint(parts, _Embeddings(models), limit_bytes=limit_bytes)
    return (
        Route("/v1/models", make_door(Page(show_models))),
        Route("/v1/models/{name}", make_door(Page(show_model))),
        Route("/v1/embeddings", make_door(embed)),
        Route("/v1/{rest:path}", make_door(refuse)),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What the answer to a request needs of it."""

    request: openai.EmbeddingRequest
    model: ModelRecord
    output: TensorSpec
    read: _Read


class _Embeddings:
    """``POST /v1/embeddings``."""

    def __init__(self, models: Catalogue) -> None:
        self._models = models
        self._shelf = TokenShelf()

    async def read(self, scope: Scope, body: bytes, _: Said) -> tuple[Question, _Asked]:
        asked = openai.decode_embedding_request(body)
        model = self._models.get(*read_name(asked.model))
        manifest = await self._models.get_manifest(scope, model)
        output = _find_output(manifest)
        read = await self._read(asked, model, manifest)
        inputs = _make_inputs(manifest, read)
        question = Question(
            model=model.name, version=model.version, inputs=inputs, arithmetic=asked.arithmetic
        )
        return question, _Asked(request=asked, model=model, output=output, read=read)

    def write(self, _: Question, asked: _Asked, answer: Answer) -> Written:
        return Written(body=_encode_answer(asked, answer))

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


def _encode_answer(asked: _Asked, answer: Answer) -> bytes:
    request, read = asked.request, asked.read
    rows = next(tensor for tensor in answer.outputs if tensor.name == asked.output.name)
    if rows.shape[0] != len(read.rows):
        raise Refusal(
            "openai.no-embeddings", f"the model gave {rows.shape[0]} rows for {len(read.rows)}"
        )
    if request.dimensions is not None and request.dimensions != rows.shape[1]:
        raise Refusal(
            "openai.other-dimensions", f"this model's embeddings have {rows.shape[1]} dimensions"
        )
    return openai.encode_embeddings(
        rows,
        request.encoding_format,
        model=request.model,
        usage=openai.Usage(prompt_tokens=read.count, total_tokens=read.count),
        evidence=openai.Evidence(
            receipt=answer.request_id,
            salt=answer.salt.hex(),
            package=asked.model.package.hex(),
            arithmetic=request.arithmetic,
            tokens=read.rows,
            pad_token=read.pad_token,
            cut=read.cut,
        ),
    )
