"""The OpenAI API's embeddings and models, as far as a gateway speaks them: JSON bodies as values.

Field names are that API's. It is no document of ours: unknown fields are ignored, encodings are
not canonical. What that API has no word for stands under ``probatum``. Must not know HTTP, nor
how text becomes tokens. Read next: `oip`, `manifests`.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.jsonnumbers import encode_numbers
from probatum.protocol.parties import ArithmeticClass
from probatum.protocol.tensors import DTYPES, Tensor

__all__ = [
    "BODY_BYTES",
    "INPUTS",
    "EmbeddingRequest",
    "EmbeddingResponse",
    "Encoding",
    "ErrorBody",
    "ErrorDetail",
    "Evidence",
    "ModelCard",
    "ModelList",
    "Usage",
    "decode_embedding_request",
    "encode_body",
    "encode_embeddings",
    "read_embedding",
]

BODY_BYTES: Final = 4 * limits.MIB
"""A request for embeddings: small pieces cost many times their bytes once they are decoded."""
INPUTS: Final = 2_048
"""Texts of one request, as in that API."""

Encoding: TypeAlias = Literal["float", "base64"]
TokenId: TypeAlias = Annotated[int, Meta(ge=0, lt=1 << 31)]
Texts: TypeAlias = tuple[str, ...]
TokenLists: TypeAlias = tuple[tuple[int, ...], ...]


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """Base of this API's JSON objects; unknown fields are ignored."""


class _Wishes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said under ``probatum`` in a request: a word mistaken there is refused."""

    arithmetic: ArithmeticClass = "float"


class _RequestOnWire(Body, frozen=True, kw_only=True):
    model: Annotated[str, Meta(min_length=1, max_length=limits.NAME_CHARS)]
    input: str | list[str | TokenId | list[TokenId]]
    encoding_format: Encoding = "float"
    dimensions: int | None = None
    probatum: _Wishes = _Wishes()


class EmbeddingRequest(Body, frozen=True, kw_only=True):
    """A request for embeddings, decoded: either `texts` or `tokens` is not empty.

    Attributes:
        dimensions: Length that the client wants; None for the model's own.
        arithmetic: The class that the client wants (`EXACT-1`).
    """

    model: str
    texts: Texts = ()
    tokens: TokenLists = ()
    encoding_format: Encoding = "float"
    dimensions: int | None = None
    arithmetic: ArithmeticClass = "float"


class Usage(Body, frozen=True, kw_only=True):
    """Tokens that were computed on; there are no others."""

    prompt_tokens: int
    total_tokens: int


class Evidence(Body, frozen=True, kw_only=True):
    """What a client needs to hold an answer to its receipt (`RECEIPT-1`, `SALT-1`).

    Attributes:
        receipt: The request's id: ``GET /receipts/<id>`` gives the bundle.
        salt: Opens the receipt's roots.
        package: The package's digest.
        arithmetic: The class of the answer (`EXACT-1`).
        tokens: The token ids that were computed on, a list a text, without padding. The inputs
            were these, padded at the end to the longest with `pad_token`.
        cut: Places of the texts that had more tokens than the model takes.
    """

    receipt: str
    salt: str
    package: str
    arithmetic: ArithmeticClass = "float"
    tokens: TokenLists
    pad_token: int
    cut: tuple[int, ...] = ()


class _Embedding(Body, frozen=True, kw_only=True):
    object: Literal["embedding"] = "embedding"
    index: int
    embedding: msgspec.Raw


class EmbeddingResponse(Body, frozen=True, kw_only=True):
    """The answer."""

    object: Literal["list"] = "list"
    data: tuple[_Embedding, ...]
    model: str
    usage: Usage
    probatum: Evidence


class ModelCard(Body, frozen=True, kw_only=True):
    """One model. `created` is 0: the ledger counts heights, and says no time of day."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str


class ModelList(Body, frozen=True, kw_only=True):
    """Answer of ``/v1/models``."""

    object: Literal["list"] = "list"
    data: tuple[ModelCard, ...]


class ErrorDetail(Body, frozen=True, kw_only=True):
    """A refusal in this API's words; `code` is Probatum's own."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(Body, frozen=True, kw_only=True):
    """What is answered instead of anything else."""

    error: ErrorDetail


_decoder = msgspec.json.Decoder(_RequestOnWire)
_encoder = msgspec.json.Encoder()


def encode_body(body: Body) -> bytes:
    """Encode an answer."""
    return _encoder.encode(body)


def decode_embedding_request(body: bytes) -> EmbeddingRequest:
    """Decode the body of ``POST /v1/embeddings``.

    Raises:
        Refusal: `openai.too-large`, `openai.malformed`, `openai.empty-input`.
    """
    if len(body) > BODY_BYTES:
        raise Refusal("openai.too-large", f"{len(body)} bytes where at most {BODY_BYTES} are taken")
    try:
        wire = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal("openai.malformed", f"not a request of this API: {error}") from None
    texts, tokens = _sort_out(wire.input)
    if max(len(texts), len(tokens)) > INPUTS:
        raise Refusal("openai.too-large", f"at most {INPUTS} inputs in one request")
    if not (texts or tokens) or "" in texts or () in tokens:
        raise Refusal("openai.empty-input", "there is nothing to embed, in one of the inputs")
    return EmbeddingRequest(
        model=wire.model,
        texts=texts,
        tokens=tokens,
        encoding_format=wire.encoding_format,
        dimensions=wire.dimensions,
        arithmetic=wire.probatum.arithmetic,
    )


def _sort_out(given: str | list[str | int | list[int]]) -> tuple[Texts, TokenLists]:
    """Tell a text, texts, one list of tokens and lists of tokens apart; they do not mix."""
    if isinstance(given, str):
        return (given,), ()
    texts = tuple(one for one in given if isinstance(one, str))
    if len(texts) == len(given):
        return texts, ()
    ids = tuple(one for one in given if isinstance(one, int))
    if len(ids) == len(given):
        return (), (ids,)
    lists = tuple(tuple(one) for one in given if isinstance(one, list))
    if len(lists) == len(given):
        return (), lists
    raise Refusal("openai.malformed", "inputs are all texts, or all tokens")


def encode_embeddings(
    rows: Tensor, encoding: Encoding, *, model: str, usage: Usage, evidence: Evidence
) -> bytes:
    """Encode the answer to a request for embeddings.

    Args:
        rows: float32 [n, d], a row an input.
        encoding: Numbers, or base64 of the row's little-endian bytes.
        model: The model as the client named it.
        usage: What is counted.
        evidence: What the receipt is about.

    Raises:
        Refusal: `oip.not-finite` for NaN and infinities as numbers, which JSON cannot say.
    """
    count, width = rows.shape
    size = width * DTYPES[rows.dtype].size_bytes
    data = []
    for index in range(count):
        row = rows.data[index * size : (index + 1) * size]
        if encoding == "base64":
            shown = b'"%b"' % base64.b64encode(row)
        else:
            shown = encode_numbers(
                Tensor(name=rows.name, dtype=rows.dtype, shape=(width,), data=row)
            )
        data.append(_Embedding(index=index, embedding=msgspec.Raw(shown)))
    return _encoder.encode(
        EmbeddingResponse(data=tuple(data), model=model, usage=usage, probatum=evidence)
    )


def read_embedding(text: str) -> bytes:
    """Read a base64 embedding as the row's bytes. Raises Refusal `openai.malformed`."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal("openai.malformed", "an embedding that is no base64") from None
