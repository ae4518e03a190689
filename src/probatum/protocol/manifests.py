"""The manifest of a model package: `probatum.json`, the one signed list of what a model is.

The package digest is SHA-256 of the manifest's bytes; the manifest names every other file by
SHA-256, so the digest binds them all. Must not know disks (`probatum.hub`).
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.encoding import Document, decode_document, encode_document
from probatum.protocol.hashing import sha256
from probatum.protocol.hexes import HexDigest
from probatum.protocol.parties import ModelName, ModelVersion
from probatum.protocol.primitives import Digest
from probatum.protocol.tensors import DtypeName, Tensor

__all__ = [
    "MANIFEST_FORMAT",
    "MANIFEST_NAME",
    "SIGNATURE_NAME",
    "FileEntry",
    "Manifest",
    "Parent",
    "TensorSpec",
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


class Manifest(Document, frozen=True, kw_only=True):
    """What a package is.

    Attributes:
        model: Path of the ONNX file among `files`.
        batch_dim: Name of the dimension along which requests may be joined, absent if none may.
        licence: SPDX expression.
        labels: Path of a text file, one output label a line, if the model classifies.
        tokenizer: Path of a `tokenizer.json` among `files`, if the model reads tokens of text.
        max_tokens: Tokens that it takes of one text; absent for what the tokenizer says.
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
    for path in (manifest.model, manifest.labels, manifest.tokenizer):
        if path is not None and path not in paths:
            raise Refusal("manifest.bad-form", f"{path!r} is not among the files")
    for specs in (manifest.inputs, manifest.outputs):
        if len({spec.name for spec in specs}) != len(specs):
            raise Refusal("manifest.bad-form", "two tensors have the same name")
    return manifest


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
