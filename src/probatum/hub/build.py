"""Makes a package: files, and the manifest that names every one of them.

What the ONNX file says of its inputs and outputs is read by an engine and comes as an argument:
this room knows none. The same files and facts make the same bytes, hence the same digest.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from probatum.canon.graph.packing import decode_graph
from probatum.canon.graph.records import compute_canonical_digest
from probatum.errors import Refusal
from probatum.hub.canonical import check_graph
from probatum.hub.files import disk_faults, flush_folder, write_flushed
from probatum.hub.package import MANIFEST_NAME, Package, load_package
from probatum.protocol.hashing import sha256
from probatum.protocol.manifests import (
    MANIFEST_FORMAT,
    BoundInput,
    Canonical,
    DimRange,
    FileEntry,
    Manifest,
    Parent,
    TensorSpec,
    decode_manifest,
    encode_manifest,
)

__all__ = ["GRAPH_NAME", "LABELS_NAME", "MODEL_NAME", "PackageFacts", "build_package"]

MODEL_NAME: Final = "model.onnx"
LABELS_NAME: Final = "labels.txt"
TOKENIZER_NAME: Final = "tokenizer.json"
"""Among the further files, it is what turns text into the model's tokens."""
GRAPH_NAME: Final = "canonical.bin"
"""Among the further files, it is the encoded canonical graph (`EXACT-1`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFacts:
    """What a publisher says of a model; fields as in `Manifest`.

    Attributes:
        labels: Names of the output's classes in their order, none if it does not classify.
        batch_dim: The name that `inputs` and `outputs` give to the dimension along which requests
            may be joined, None if they may not.
        max_tokens: Tokens that the model takes of one text, None for what its tokenizer says.
        bound: Inputs of the file that are constants of the package.
        dims: What class `exact` admits, if the package has a canonical graph.
    """

    name: str
    version: str
    task: str
    licence: str
    description: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    labels: tuple[str, ...] = ()
    parents: tuple[Parent, ...] = ()
    batch_dim: str | None = None
    max_tokens: int | None = None
    bound: tuple[BoundInput, ...] = ()
    dims: tuple[DimRange, ...] = ()


def build_package(
    facts: PackageFacts, model: bytes, folder: Path, extra: Mapping[str, bytes] | None = None
) -> Package:
    """Write a package into a new folder, all or nothing.

    Args:
        facts: What it is.
        model: The ONNX file.
        folder: Must not exist yet; its parent must.
        extra: Further files by their path: a licence's text, a model card.

    Returns:
        The package, loaded and checked like a stranger's.

    Raises:
        Refusal: `package.folder-taken`, `package.bad-facts`, `manifest.bad-form`.
        Fault: `hub.disk`.
    """
    files = {MODEL_NAME: model, **(extra or {})}
    if facts.labels:
        if any("\n" in label or "\r" in label or not label for label in facts.labels):
            raise Refusal("package.bad-facts", "a label is one line that is not empty")
        files[LABELS_NAME] = "".join(f"{label}\n" for label in facts.labels).encode()
    manifest_bytes = _encode_checked(facts, files)
    if folder.exists():
        raise Refusal("package.folder-taken", f"{folder} exists already", hint="name a new folder")
    with (
        disk_faults(f"cannot write the package to {folder}"),
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=".building-") as work,
    ):
        fresh = Path(work) / "package"
        for path, data in sorted({**files, MANIFEST_NAME: manifest_bytes}.items()):
            (fresh / path).parent.mkdir(parents=True, exist_ok=True)
            write_flushed(fresh / path, iter((data,)))
        flush_folder(fresh)
        fresh.rename(folder)
        flush_folder(folder.parent)
    return load_package(folder)


def _encode_checked(facts: PackageFacts, files: Mapping[str, bytes]) -> bytes:
    """Encode the manifest and decode it again: a maker's slip is refused like a stranger's."""
    manifest = Manifest(
        format=MANIFEST_FORMAT,
        name=facts.name,
        version=facts.version,
        task=facts.task,
        licence=facts.licence,
        description=facts.description,
        model=MODEL_NAME,
        files=tuple(
            FileEntry(path=path, size=len(data), sha256=sha256(data).hex())
            for path, data in sorted(files.items())
        ),
        inputs=facts.inputs,
        outputs=facts.outputs,
        parents=facts.parents,
        batch_dim=facts.batch_dim,
        labels=LABELS_NAME if facts.labels else None,
        tokenizer=TOKENIZER_NAME if TOKENIZER_NAME in files else None,
        max_tokens=facts.max_tokens,
        bound=facts.bound,
        canonical=_read_canonical(facts, files),
    )
    data = encode_manifest(manifest)
    try:
        decode_manifest(data)
        if manifest.canonical is not None:
            check_graph(manifest, files[GRAPH_NAME])
    except Refusal as refusal:
        raise Refusal("package.bad-facts", refusal.message, hint=refusal.hint) from None
    return data


def _read_canonical(facts: PackageFacts, files: Mapping[str, bytes]) -> Canonical | None:
    data = files.get(GRAPH_NAME)
    if data is None:
        return None
    digest = compute_canonical_digest(decode_graph(data)).hex()
    return Canonical(digest=digest, graph=GRAPH_NAME, dims=facts.dims)
