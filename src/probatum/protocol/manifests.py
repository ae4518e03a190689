"""The manifest of a model package: `probatum.json`, the one signed list of what a model is.

The package digest is SHA-256 of the manifest's bytes; the manifest names every other file by
SHA-256, so the digest binds them all. Must not know disks (`probatum.hub`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.encoding import Document, decode_document, encode_document
from probatum.protocol.hashing import sha256
from probatum.protocol.hexes import HexBytes, HexDigest
from probatum.protocol.parties import ModelName, ModelVersion
from probatum.protocol.primitives import Digest
from probatum.protocol.tensors import DtypeName, Tensor, check_tensor

__all__ = [
    "MANIFEST_FORMAT",
    "MANIFEST_NAME",
    "RELAY_END",
    "SIGNATURE_NAME",
    "TEXT_INPUTS",
    "TEXT_OUTPUTS",
    "BoundInput",
    "Canonical",
    "DimRange",
    "FileEntry",
    "LanguageModel",
    "Manifest",
    "Parent",
    "TensorSpec",
    "TextModel",
    "UpstreamModel",
    "check_dims_admitted",
    "check_tensors_match",
    "compute_package_digest",
    "decode_manifest",
    "encode_manifest",
]

MANIFEST_NAME: Final = "probatum.json"
SIGNATURE_NAME: Final = "model.sig"
"""The publisher's signature, beside the files and not among them (`SIGN-1`)."""
MANIFEST_FORMAT: Final = "probatum-package/1"

PackagePath: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_-])?(?:/[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_-])?){0,7}\Z",
        max_length=200,
    ),
]
"""A relative POSIX path without dots at segment ends: cannot climb out of the package."""

Dim: TypeAlias = (
    Annotated[int, Meta(ge=0, lt=1 << 40)]
    | Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,31}\Z")]
)
"""A fixed size, or the name of a dimension that each request chooses."""


class FileEntry(Document, frozen=True, kw_only=True):
    """One file of the package."""

    path: PackagePath
    size: Annotated[int, Meta(ge=0, le=limits.PACKAGE_BYTES)]
    sha256: HexDigest


class TensorSpec(Document, frozen=True, kw_only=True):
    """Name, dtype and shape of one graph input or output."""

    name: Annotated[str, Meta(min_length=1, max_length=limits.NAME_CHARS)]
    dtype: DtypeName
    shape: Annotated[tuple[Dim, ...], Meta(max_length=limits.TENSOR_RANK)]


class Parent(Document, frozen=True, kw_only=True):
    """A model that this one was made from, and how."""

    package: HexDigest
    relation: Literal["converted", "fine-tuned", "quantised", "distilled", "merged"]


class DimRange(Document, frozen=True, kw_only=True):
    """The values of a named dim that the class `exact` admits (`CANON-8`)."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,31}\Z")]
    least: Annotated[int, Meta(ge=0, lt=1 << 40)]
    greatest: Annotated[int, Meta(ge=0, lt=1 << 40)]


class BoundInput(Document, frozen=True, kw_only=True):
    """An input of the ONNX file that the package binds to a constant (`NODE-1`).

    Attributes:
        data: Row-major little-endian elements, in hex.
    """

    name: Annotated[str, Meta(min_length=1, max_length=limits.NAME_CHARS)]
    dtype: DtypeName
    shape: Annotated[
        tuple[Annotated[int, Meta(ge=0, lt=1 << 40)], ...], Meta(max_length=limits.TENSOR_RANK)
    ]
    data: Annotated[HexBytes, Meta(max_length=2 * limits.BOUND_INPUT_BYTES)]

    def to_tensor(self) -> Tensor:
        """Make the tensor that the model is given."""
        data = bytes.fromhex(self.data)
        return Tensor(name=self.name, dtype=self.dtype, shape=self.shape, data=data)


class Canonical(Document, frozen=True, kw_only=True):
    """The canonical meaning of the model: what class `exact` is held to (`EXACT-1`).

    Attributes:
        digest: Of the canonical graph.
        graph: Path of the encoded graph among `files`; it holds the roots of all weights.
        dims: The admitted values of every named dim of the inputs, and of those of the file that
            the package fixes to one value, in order of name.
    """

    digest: HexDigest
    graph: PackagePath
    dims: Annotated[tuple[DimRange, ...], Meta(max_length=16)]


_Size: TypeAlias = Annotated[int, Meta(ge=1, lt=1 << 24)]
_TokenId: TypeAlias = Annotated[int, Meta(ge=0, lt=1 << 24)]


class TextModel(Document, frozen=True, kw_only=True):
    """A language model whose every token is determined (`TEXT-1`, `GUMBEL-1`).

    The sizes, with the weights' roots, make the canonical graph; there is no ONNX file.

    Attributes:
        architecture: Which graph the sizes are of.
        layers: Blocks of attention and feed-forward net.
        width: Elements of a token's state.
        heads: Of queries.
        kv_heads: Of keys and values; divides `heads`.
        head_width: Elements of a head; even.
        hidden: Width inside the feed-forward net.
        vocabulary: Number of tokens.
        context: Most tokens of prompt and answer together.
        norm_epsilon_bits: What is added to a mean of squares: the bits of a float32.
        is_tied: Whether the embedding also makes the logits.
        stop_ids: Tokens that end an answer, ascending.
        rule: How a token is chosen.
        top_k: Candidates at most.
        template: Path of the chat template among the package's files, absent if it has none.
        qkv_bias: Whether a vector is added to queries, keys and values; absent if none is.
    """

    architecture: Literal["llama"]
    layers: Annotated[int, Meta(ge=1, le=256)]
    width: _Size
    heads: Annotated[int, Meta(ge=1, le=1024)]
    kv_heads: Annotated[int, Meta(ge=1, le=1024)]
    head_width: Annotated[int, Meta(ge=2, le=4096)]
    hidden: _Size
    vocabulary: _Size
    context: Annotated[int, Meta(ge=2, le=1 << 20)]
    norm_epsilon_bits: Annotated[int, Meta(ge=1, lt=0x7F80_0000)]
    is_tied: bool
    stop_ids: Annotated[tuple[_TokenId, ...], Meta(min_length=1, max_length=16)]
    rule: Literal["GUMBEL-1"]
    top_k: Annotated[int, Meta(ge=1, le=256)]
    template: PackagePath | None = None
    qkv_bias: bool = False


RELAY_END: Final = 256
"""The token of a relay that ends a text; those below are bytes."""


class UpstreamModel(Document, frozen=True, kw_only=True):
    """A language model that another program runs, which nobody can recompute (`TEXT-2`).

    Attributes:
        engine: Which interface the program has; `relay` for a closed service.
        served_as: The model's name there.
        numeric: How it computes, as the publisher states: `F` float32, weights at least float16;
            `B` bfloat16 anywhere; `Q` eight bits or fewer anywhere. Absent of a relay alone.
        weights: SHA-256 of the file of weights, as the publisher states. Absent of a relay alone.
        vocabulary: Number of tokens.
        context: Most tokens of prompt and answer together.
        stop_ids: Tokens that end an answer, ascending.
        rule: The engine's own: nobody knows what it should have chosen.
        top_k: Candidates at most, as the engine is asked.
        template: Path of the chat template among the package's files, absent if it has none.
    """

    engine: Literal["llama.cpp", "vllm", "relay"]
    served_as: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/+-]{0,127}\Z")]
    numeric: Literal["F", "B", "Q"] | None
    weights: HexDigest | None
    vocabulary: _Size
    context: Annotated[int, Meta(ge=2, le=1 << 20)]
    stop_ids: Annotated[tuple[_TokenId, ...], Meta(min_length=1, max_length=16)]
    rule: Literal["engine"]
    top_k: Annotated[int, Meta(ge=1, le=256)]
    template: PackagePath | None = None


LanguageModel: TypeAlias = TextModel | UpstreamModel

TEXT_INPUTS: Final = (
    TensorSpec(name="prompt", dtype="int64", shape=("p",)),
    TensorSpec(name="limit", dtype="int64", shape=(1,)),
    TensorSpec(name="temperature", dtype="float32", shape=(1,)),
    TensorSpec(name="top_k", dtype="int64", shape=(1,)),
    TensorSpec(name="choice", dtype="int64", shape=(1,)),
)
"""What a request for text brings; the nonce is among its facts."""
TEXT_OUTPUTS: Final = (
    TensorSpec(name="answer", dtype="int64", shape=("a",)),
    TensorSpec(name="ended", dtype="bool", shape=(1,)),
)
"""What it gets."""


class Manifest(Document, frozen=True, kw_only=True):
    """What a package is.

    Attributes:
        model: Path of the ONNX file among `files`; of a text model, of its weights (safetensors);
            of an upstream model, of a text that says what it is.
        batch_dim: Name of the dimension along which requests may be joined, absent if none may.
        licence: SPDX expression.
        labels: Path of a text file, one output label a line, if the model classifies.
        tokenizer: Path of a `tokenizer.json` among `files`, if the model reads tokens of text.
        max_tokens: Tokens that it takes of one text; absent for what the tokenizer says.
        bound: Further inputs of the ONNX file, each a constant; `inputs` are those of a request.
        canonical: What answers of class `exact` are held to, absent if it has none.
        text: There if it is a language model; its inputs and outputs are `TEXT_INPUTS` and
            `TEXT_OUTPUTS`, and it has a canonical meaning.
        upstream: There if another program runs it: same inputs and outputs, no canonical meaning.
    """

    format: Literal["probatum-package/1"]
    name: ModelName
    version: ModelVersion
    task: Annotated[str, Meta(max_length=64)]
    licence: Annotated[str, Meta(min_length=1, max_length=128)]
    description: Annotated[str, Meta(max_length=2000)]
    model: PackagePath
    files: Annotated[tuple[FileEntry, ...], Meta(min_length=1, max_length=limits.PACKAGE_FILES)]
    inputs: Annotated[
        tuple[TensorSpec, ...], Meta(min_length=1, max_length=limits.TENSORS_PER_REQUEST)
    ]
    outputs: Annotated[
        tuple[TensorSpec, ...], Meta(min_length=1, max_length=limits.TENSORS_PER_REQUEST)
    ]
    parents: Annotated[tuple[Parent, ...], Meta(max_length=16)]
    batch_dim: str | None = None
    labels: PackagePath | None = None
    tokenizer: PackagePath | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=1 << 20)] | None = None
    bound: Annotated[tuple[BoundInput, ...], Meta(max_length=16)] = ()
    canonical: Canonical | None = None
    text: TextModel | None = None
    upstream: UpstreamModel | None = None

    @property
    def language(self) -> LanguageModel | None:
        """The language model that it is, whoever runs it; None if it writes no text."""
        return self.text or self.upstream


def encode_manifest(manifest: Manifest) -> bytes:
    """Encode a manifest: the bytes of `probatum.json`."""
    return encode_document(manifest)


def decode_manifest(data: bytes) -> Manifest:
    """Decode `probatum.json` and check that it agrees with itself.

    Raises:
        Refusal: `encoding.*`, `manifest.bad-form`.
    """
    manifest = decode_document(Manifest, data, limit_bytes=limits.MANIFEST_BYTES)
    paths = [entry.path for entry in manifest.files]
    if paths != sorted(set(paths)):
        raise Refusal("manifest.bad-form", "files are listed once each, in order of path")
    if sum(entry.size for entry in manifest.files) > limits.PACKAGE_BYTES:
        raise Refusal("manifest.bad-form", f"a package holds at most {limits.PACKAGE_BYTES} bytes")
    graph = manifest.canonical.graph if manifest.canonical is not None else None
    template = manifest.language.template if manifest.language is not None else None
    for path in (manifest.model, manifest.labels, manifest.tokenizer, graph, template):
        if path is not None and path not in paths:
            raise Refusal("manifest.bad-form", f"{path!r} is not among the files")
    for specs in (manifest.inputs, manifest.outputs):
        if len({spec.name for spec in specs}) != len(specs):
            raise Refusal("manifest.bad-form", "two tensors have the same name")
    _check_bound(manifest)
    _check_canonical(manifest)
    _check_text(manifest)
    return manifest


def _check_bound(manifest: Manifest) -> None:
    names = [spec.name for spec in manifest.inputs] + [one.name for one in manifest.bound]
    if len(set(names)) != len(names):
        raise Refusal("manifest.bad-form", "an input is bound twice, or bound and asked for")
    for one in manifest.bound:
        try:
            check_tensor(one.to_tensor())
        except Refusal as refusal:
            raise Refusal("manifest.bad-form", refusal.message) from None


def _check_canonical(manifest: Manifest) -> None:
    if manifest.canonical is None:
        return
    # The answer is an input of a text model's graph.
    specs = manifest.inputs if manifest.text is None else manifest.inputs + manifest.outputs
    named = {dim for spec in specs for dim in spec.shape if isinstance(dim, str)}
    dims = manifest.canonical.dims
    have = [one.name for one in dims]
    if have != sorted(set(have)) or not named <= set(have):
        raise Refusal("manifest.bad-form", "every named dim of the inputs has one range, in order")
    # What the package fixes to one value stands as a number in the shapes.
    if any((one.least >= one.greatest) is (one.name in named) for one in dims):
        raise Refusal("manifest.bad-form", "a dim admits no value, or is fixed and still named")


def _check_text(manifest: Manifest) -> None:
    text = manifest.language
    if text is None:
        return
    if (manifest.inputs, manifest.outputs) != (TEXT_INPUTS, TEXT_OUTPUTS):
        raise Refusal("manifest.bad-form", "a text model has other inputs or outputs than TEXT-1's")
    if manifest.bound or manifest.batch_dim is not None:
        raise Refusal("manifest.bad-form", "a text model has no bound inputs or rows")
    ids = text.stop_ids
    if ids != tuple(sorted(set(ids))) or ids[-1] >= text.vocabulary or text.top_k > text.vocabulary:
        raise Refusal("manifest.bad-form", "stop ids stand once, ascending, in the vocabulary")
    if manifest.upstream is not None:
        _check_upstream(manifest, manifest.upstream)
    if manifest.text is not None:
        _check_canonical_text(manifest, manifest.text)


def _check_canonical_text(manifest: Manifest, text: TextModel) -> None:
    if manifest.canonical is None:
        raise Refusal("manifest.bad-form", "a text model has a canonical meaning")
    most = {one.name: one.greatest for one in manifest.canonical.dims}
    if list(most) != ["a", "p"] or min(one.least for one in manifest.canonical.dims) < 1:
        raise Refusal("manifest.bad-form", "a text model's dims are a and p, each at least 1")
    if max(most.values()) >= text.context or text.heads % text.kv_heads or text.head_width % 2:
        raise Refusal("manifest.bad-form", "sizes of the text model do not fit one another")


def _check_upstream(manifest: Manifest, upstream: UpstreamModel) -> None:
    if manifest.text is not None or manifest.canonical is not None:
        raise Refusal("manifest.bad-form", "what another program runs has no canonical meaning")
    is_relay = upstream.engine == "relay"
    if is_relay is not (upstream.numeric is None) or is_relay is not (upstream.weights is None):
        raise Refusal(
            "manifest.bad-form", "an engine's weights and arithmetic are stated, a relay's are not"
        )
    bytes_and_end = (RELAY_END + 1, (RELAY_END,))
    if is_relay and (upstream.vocabulary, upstream.stop_ids) != bytes_and_end:
        raise Refusal("manifest.bad-form", "a relay's tokens are bytes, and 256 ends a text")


def check_dims_admitted(manifest: Manifest, dims: Mapping[str, int]) -> None:
    """Check that a request of class `exact` stays within what the package admits (`CANON-8`).

    Args:
        manifest: The package's.
        dims: Values of its named dims, as `check_tensors_match` returns them.

    Raises:
        Refusal: `schema.not-exact`, `schema.dim-out-of-range`.
    """
    if manifest.canonical is None:
        raise Refusal(
            "schema.not-exact",
            f"{manifest.name} {manifest.version} has no canonical meaning",
            hint="ask for the class float, or for a version that was packed with --exact",
        )
    for one in manifest.canonical.dims:
        value = dims.get(one.name, one.least)  # fixed ones are checked with the shapes
        if not one.least <= value <= one.greatest:
            raise Refusal(
                "schema.dim-out-of-range",
                f"{one.name} is {value}; {one.least} to {one.greatest} are admitted",
                hint="split the request, or ask for the class float",
            )


def compute_package_digest(manifest_bytes: bytes) -> Digest:
    """Compute the package digest: SHA-256 of the bytes of `probatum.json`."""
    return sha256(manifest_bytes)


def check_tensors_match(
    specs: tuple[TensorSpec, ...], tensors: tuple[Tensor, ...]
) -> dict[str, int]:
    """Check tensors against the declared inputs or outputs, named dims included.

    Args:
        specs: What the manifest declares, in order.
        tensors: What came, in the same order.

    Returns:
        The value of each named dimension.

    Raises:
        Refusal: `schema.missing-tensor`, `schema.unknown-tensor`, `schema.wrong-order`,
            `schema.wrong-dtype`, `schema.wrong-shape`.
    """
    _check_names(specs, tensors)
    dims: dict[str, int] = {}
    for spec, tensor in zip(specs, tensors, strict=True):
        if tensor.dtype != spec.dtype:
            raise Refusal(
                "schema.wrong-dtype", f"{spec.name!r} is {tensor.dtype}, not {spec.dtype}"
            )
        if len(tensor.shape) != len(spec.shape):
            raise Refusal(
                "schema.wrong-shape",
                f"{spec.name!r} has {len(tensor.shape)} dimensions, not {len(spec.shape)}",
            )
        for want, have in zip(spec.shape, tensor.shape, strict=True):
            fixed = dims.setdefault(want, have) if isinstance(want, str) else want
            if have != fixed:
                raise Refusal(
                    "schema.wrong-shape",
                    f"{spec.name!r} has shape {list(tensor.shape)}; {want} must be {fixed}",
                )
    return dims


def _check_names(specs: tuple[TensorSpec, ...], tensors: tuple[Tensor, ...]) -> None:
    want = [spec.name for spec in specs]
    have = [tensor.name for tensor in tensors]
    if want == have:
        return
    missing = sorted(set(want) - set(have))
    unknown = sorted(set(have) - set(want))
    if missing:
        raise Refusal("schema.missing-tensor", f"missing: {', '.join(missing)}")
    if unknown:
        raise Refusal("schema.unknown-tensor", f"not of this model: {', '.join(unknown)[:200]}")
    raise Refusal("schema.wrong-order", f"give each tensor once, in order: {', '.join(want)}")
