"""The Open Inference Protocol, version 2, over REST: its bodies as values.

The public wire of gateways, spoken by many clients and servers; field names are that protocol's.
It is no document of ours: unknown fields and parameters are ignored, encodings are not canonical.
Everything is bounded before it is built. Must not know HTTP: paths, headers and status codes are
the door's. Read next: `jsonnumbers`, `oip_binary`, `manifests`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from types import MappingProxyType
from typing import Annotated, Final, TypeAlias, TypeVar, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.jsonnumbers import decode_numbers, encode_numbers
from probatum.protocol.manifests import TensorSpec
from probatum.protocol.oip_binary import NO_TAIL, Tail, read_size, split_body
from probatum.protocol.tensors import DTYPES, DtypeName, Tensor, check_tensor

__all__ = [
    "ErrorBody",
    "IndexRequest",
    "IndexedModel",
    "InferRequest",
    "InferResponse",
    "ModelMetadata",
    "ModelReady",
    "Parameter",
    "ServerLive",
    "ServerMetadata",
    "ServerReady",
    "TensorMetadata",
    "decode_index_request",
    "decode_infer_request",
    "decode_infer_response",
    "describe_tensors",
    "encode_body",
    "encode_index",
    "encode_infer_request",
    "encode_infer_response",
    "encode_mixed_response",
]

_T = TypeVar("_T")

Parameter: TypeAlias = str | int | float | bool
"""What a parameter may be in this protocol."""

_PARAMETERS_BYTES: Final = 16 * limits.KIB
_SHAPE_BYTES: Final = 512
_OBJECTS: Final = 16 * limits.TENSORS_PER_REQUEST
"""Braces in one body: far more than inputs, outputs and their parameters need."""
_DTYPES: Final[Mapping[str, DtypeName]] = MappingProxyType(
    {DTYPES[name].oip_name: name for name in get_args(DtypeName)}
)
_NO_PARAMETERS: Final[Mapping[str, Parameter]] = MappingProxyType({})
_NO_WISHES: Final[Mapping[str, bool]] = MappingProxyType({})

_Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=limits.NAME_CHARS)]
_Id: TypeAlias = Annotated[str, Meta(max_length=limits.NAME_CHARS)]
_Count: TypeAlias = Annotated[int, Meta(ge=0, lt=1 << 40)]


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """Base of this protocol's JSON objects; unknown fields are ignored, as it wants."""


class ErrorBody(Body, frozen=True, kw_only=True):
    """What a door answers instead of anything else."""

    error: str


class ServerLive(Body, frozen=True, kw_only=True):
    """Answer of ``/v2/health/live``."""

    live: bool


class ServerReady(Body, frozen=True, kw_only=True):
    """Answer of ``/v2/health/ready``."""

    ready: bool


class ModelReady(Body, frozen=True, kw_only=True):
    """Answer of ``/v2/models/<name>/ready``."""

    name: str
    ready: bool


class ServerMetadata(Body, frozen=True, kw_only=True):
    """Answer of ``/v2``."""

    name: str
    version: str
    extensions: tuple[str, ...] = ()


class TensorMetadata(Body, frozen=True, kw_only=True):
    """One input or output of a model; -1 is a dimension that each request chooses."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class IndexedModel(Body, frozen=True, kw_only=True):
    """One model of ``/v2/repository/index``; `state` is READY or UNAVAILABLE."""

    name: str
    version: str
    state: str
    reason: str = ""


class IndexRequest(Body, frozen=True, kw_only=True):
    """What ``/v2/repository/index`` may be asked: models that are ready only."""

    ready: bool = False


class ModelMetadata(Body, frozen=True, kw_only=True):
    """Answer of ``/v2/models/<name>``."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]


class InferRequest(Body, frozen=True, kw_only=True):
    """A request, decoded.

    Attributes:
        id: The client's own name for it, given back with the answer.
        tensors: Inputs in the order in which they came.
        outputs: Names of the outputs that are wanted; None for all.
        binary_outputs: What each of these was wanted as: binary or JSON.
        parameters: Those of the request as a whole.
    """

    tensors: tuple[Tensor, ...]
    id: str | None = None
    outputs: tuple[str, ...] | None = None
    binary_outputs: Mapping[str, bool] = _NO_WISHES
    parameters: Mapping[str, Parameter] = _NO_PARAMETERS

    def is_binary(self, output: str) -> bool:
        """Tell whether an output is wanted as bytes rather than as JSON."""
        usual = self.parameters.get("binary_data_output") is True
        return self.binary_outputs.get(output, usual)


class InferResponse(Body, frozen=True, kw_only=True):
    """An answer, decoded or to be encoded; see `InferRequest`."""

    model_name: str
    tensors: tuple[Tensor, ...]
    model_version: str | None = None
    id: str | None = None
    parameters: Mapping[str, Parameter] = _NO_PARAMETERS


class _TensorOnWire(Body, frozen=True, kw_only=True):
    name: _Name
    shape: msgspec.Raw
    datatype: Annotated[str, Meta(max_length=16)]
    parameters: msgspec.Raw | UnsetType = UNSET
    data: msgspec.Raw | UnsetType = UNSET


class _WantedOnWire(Body, frozen=True, kw_only=True):
    name: _Name
    parameters: msgspec.Raw | UnsetType = UNSET


class _RequestOnWire(Body, frozen=True, kw_only=True):
    inputs: tuple[_TensorOnWire, ...]
    id: _Id | UnsetType | None = UNSET
    parameters: msgspec.Raw | UnsetType = UNSET
    outputs: tuple[_WantedOnWire, ...] | UnsetType | None = UNSET


class _ResponseOnWire(Body, frozen=True, kw_only=True):
    model_name: _Name
    outputs: tuple[_TensorOnWire, ...]
    model_version: _Id | UnsetType | None = UNSET
    id: _Id | UnsetType | None = UNSET
    parameters: msgspec.Raw | UnsetType = UNSET


_request_decoder = msgspec.json.Decoder(_RequestOnWire)
_index_decoder = msgspec.json.Decoder(IndexRequest)
_response_decoder = msgspec.json.Decoder(_ResponseOnWire)
_shape_decoder = msgspec.json.Decoder(Annotated[list[_Count], Meta(max_length=limits.TENSOR_RANK)])
_parameters_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
_parameter_decoder = msgspec.json.Decoder(str | int | float | bool)
_encoder = msgspec.json.Encoder()


def encode_body(body: Body) -> bytes:
    """Encode metadata, readiness or an error."""
    return _encoder.encode(body)


def encode_index(models: tuple[IndexedModel, ...]) -> bytes:
    """Encode the answer of ``/v2/repository/index``."""
    return _encoder.encode(models)


def describe_tensors(specs: tuple[TensorSpec, ...]) -> tuple[TensorMetadata, ...]:
    """Say a manifest's inputs or outputs in this protocol's words."""
    return tuple(
        TensorMetadata(
            name=spec.name,
            datatype=DTYPES[spec.dtype].oip_name,
            shape=tuple(dim if isinstance(dim, int) else -1 for dim in spec.shape),
        )
        for spec in specs
    )


def decode_index_request(body: bytes) -> IndexRequest:
    """Decode the body of ``POST /v2/repository/index``; an empty one asks for everything.

    Raises:
        Refusal: `oip.too-large`, `oip.malformed`.
    """
    return _decode(_index_decoder, body, NO_TAIL) if body else IndexRequest()


def decode_infer_request(body: bytes, head_bytes: int | None = None) -> InferRequest:
    """Decode the body of ``POST /v2/models/<name>/infer``.

    Args:
        body: The whole body.
        head_bytes: Bytes of its JSON if binary tensors follow it (`oip_binary`).

    Raises:
        Refusal: `oip.too-large`, `oip.malformed`, `oip.unsupported-datatype`, `oip.no-data`,
            `oip.wrong-count`, `oip.bad-data`, `oip.out-of-range`, `oip.bad-binary`,
            `oip.unsupported-parameter`, `tensor.*`.
    """
    head, tail = split_body(body, head_bytes)
    wire = _decode(_request_decoder, head, tail)
    outputs = wire.outputs or ()
    _check_count(wire.inputs, outputs)
    tensors = tuple(_decode_tensor(tensor, tail) for tensor in wire.inputs)
    tail.finish()
    wishes = {wanted.name: _read_wish(wanted) for wanted in outputs}
    return InferRequest(
        tensors=tensors,
        id=wire.id or None,
        outputs=tuple(wanted.name for wanted in outputs) or None,
        binary_outputs={name: wish for name, wish in wishes.items() if wish is not None},
        parameters=_decode_parameters(wire.parameters),
    )


def decode_infer_response(body: bytes, head_bytes: int | None = None) -> InferResponse:
    """Decode an answer; see `decode_infer_request` for arguments and errors."""
    head, tail = split_body(body, head_bytes)
    wire = _decode(_response_decoder, head, tail)
    _check_count(wire.outputs, ())
    tensors = tuple(_decode_tensor(tensor, tail) for tensor in wire.outputs)
    tail.finish()
    return InferResponse(
        model_name=wire.model_name,
        tensors=tensors,
        model_version=wire.model_version or None,
        id=wire.id or None,
        parameters=_decode_parameters(wire.parameters),
    )


def encode_infer_request(request: InferRequest) -> bytes:
    """Encode a request. Raises Refusal `oip.not-finite`."""
    outputs = request.outputs
    return _encoder.encode(
        _RequestOnWire(
            inputs=tuple(_encode_tensor(tensor) for tensor in request.tensors),
            id=UNSET if request.id is None else request.id,
            parameters=_encode_parameters(request.parameters),
            outputs=UNSET if outputs is None else tuple(_WantedOnWire(name=n) for n in outputs),
        )
    )


def encode_infer_response(response: InferResponse) -> bytes:
    """Encode an answer as JSON. Raises Refusal `oip.not-finite`."""
    return encode_mixed_response(response, frozenset())[0]


def encode_mixed_response(
    response: InferResponse, binary: frozenset[str]
) -> tuple[bytes, int | None]:
    """Encode an answer with some outputs as bytes behind the JSON (`oip_binary`).

    Returns:
        The body, and the length of its head; None if all of it is JSON.

    Raises:
        Refusal: `oip.not-finite` for an output that JSON cannot say.
    """
    head = _encoder.encode(
        _ResponseOnWire(
            model_name=response.model_name,
            model_version=UNSET if response.model_version is None else response.model_version,
            id=UNSET if response.id is None else response.id,
            parameters=_encode_parameters(response.parameters),
            outputs=tuple(
                _announce(tensor) if tensor.name in binary else _encode_tensor(tensor)
                for tensor in response.tensors
            ),
        )
    )
    if not binary:
        return head, None
    tail = (tensor.data for tensor in response.tensors if tensor.name in binary)
    return b"".join((head, *tail)), len(head)


def _decode(decoder: msgspec.json.Decoder[_T], body: bytes, tail: Tail) -> _T:
    size = len(body) + len(tail)
    if size > limits.REQUEST_BYTES:
        raise Refusal(
            "oip.too-large", f"{size} bytes where at most {limits.REQUEST_BYTES} are taken"
        )
    # Objects are the one thing that the decoder below builds without a bound of its own.
    if body.count(b"{") > _OBJECTS:
        raise Refusal("oip.too-large", f"more than {_OBJECTS} objects in one body")
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal("oip.malformed", f"not a body of this protocol: {error}") from None


def _read(decoder: msgspec.json.Decoder[_T], raw: msgspec.Raw, limit_bytes: int, what: str) -> _T:
    text = bytes(raw)
    if len(text) > limit_bytes:
        raise Refusal("oip.too-large", f"{what} of {len(text)} bytes; at most {limit_bytes}")
    try:
        return decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal("oip.malformed", f"{what}: {error}") from None


def _check_count(tensors: tuple[object, ...], wanted: tuple[object, ...]) -> None:
    if max(len(tensors), len(wanted)) > limits.TENSORS_PER_REQUEST:
        raise Refusal("oip.too-large", f"at most {limits.TENSORS_PER_REQUEST} tensors in one body")


def _decode_tensor(wire: _TensorOnWire, tail: Tail) -> Tensor:
    dtype = _DTYPES.get(wire.datatype)
    if dtype is None:
        raise Refusal(
            "oip.unsupported-datatype",
            f"{wire.name!r} has the datatype {wire.datatype!r}",
            hint="one of " + ", ".join(_DTYPES),
        )
    size = read_size(wire.name, _decode_parameters(wire.parameters))
    if (wire.data is UNSET) == (size is None):
        raise Refusal(
            "oip.no-data",
            f"{wire.name!r} has to have either data or binary_data_size",
            hint="binary data needs the header Inference-Header-Content-Length too",
        )
    shape = tuple(_read(_shape_decoder, wire.shape, _SHAPE_BYTES, "a shape"))
    if prod(shape) * DTYPES[dtype].size_bytes > limits.TENSOR_BYTES:
        raise Refusal("oip.too-large", f"{wire.name!r} would exceed {limits.TENSOR_BYTES} bytes")
    if size is not None:
        return tail.take(wire.name, dtype, shape, size)
    assert wire.data is not UNSET, "one of both is there"
    data = decode_numbers(wire.name, dtype, shape, bytes(wire.data))
    return Tensor(name=wire.name, dtype=dtype, shape=shape, data=data)


def _encode_tensor(tensor: Tensor) -> _TensorOnWire:
    check_tensor(tensor)
    return _TensorOnWire(
        name=tensor.name,
        shape=msgspec.Raw(_encoder.encode(tensor.shape)),
        datatype=DTYPES[tensor.dtype].oip_name,
        data=msgspec.Raw(encode_numbers(tensor)),
    )


def _announce(tensor: Tensor) -> _TensorOnWire:
    """Encode all of a tensor but its bytes, which follow the head."""
    check_tensor(tensor)
    return _TensorOnWire(
        name=tensor.name,
        shape=msgspec.Raw(_encoder.encode(tensor.shape)),
        datatype=DTYPES[tensor.dtype].oip_name,
        parameters=_encode_parameters({"binary_data_size": len(tensor.data)}),
    )


def _read_wish(wanted: _WantedOnWire) -> bool | None:
    """Read whether an output is wanted as bytes; None if that is left to the request."""
    parameters = _decode_parameters(wanted.parameters)
    read_size(wanted.name, parameters)
    if parameters.get("classification"):
        raise Refusal(
            "oip.unsupported-parameter",
            f"{wanted.name!r} is wanted as classes; this server gives tensors",
        )
    wish = parameters.get("binary_data")
    return wish if isinstance(wish, bool) else None


def _decode_parameters(raw: msgspec.Raw | UnsetType) -> Mapping[str, Parameter]:
    """Keep the parameters that are scalars; what else an extension sends is not for us."""
    if raw is UNSET:
        return _NO_PARAMETERS
    items = _read(_parameters_decoder, raw, _PARAMETERS_BYTES, "parameters") or {}
    known: dict[str, Parameter] = {}
    for name in sorted(items):
        if bytes(items[name])[:1] not in {b"[", b"{", b"n"}:
            known[name] = _read(_parameter_decoder, items[name], _PARAMETERS_BYTES, "a parameter")
    return MappingProxyType(known)


def _encode_parameters(parameters: Mapping[str, Parameter]) -> msgspec.Raw | UnsetType:
    return msgspec.Raw(_encoder.encode(dict(parameters))) if parameters else UNSET
