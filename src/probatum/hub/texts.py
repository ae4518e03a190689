"""Holds a language model's canonical graph to its weights (`TEXT-1`, `EXACT-1`).

The graph follows from the sizes in the manifest and the roots of the weights, so checking is one
pass over the file, a piece at a time. Roots are those of float32: quantised blocks are decoded.
Must not know engines.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import numpy as np
from blake3 import blake3

from probatum.canon.expand.language.blocks import WeightForm, decode_blocks, match_weights
from probatum.canon.expand.language.llama import build_llama_graph
from probatum.canon.expand.language.weights import WeightSpec, list_llama_weights
from probatum.canon.graph.packing import encode_graph
from probatum.canon.graph.records import CanonicalGraph, compute_canonical_digest
from probatum.canon.trace.roots import derive_weight_key
from probatum.errors import Misuse, Refusal
from probatum.hub.files import disk_faults, open_regular
from probatum.hub.package import Package
from probatum.protocol.manifests import Canonical, TextModel
from probatum.protocol.primitives import Root, make_root
from probatum.protocol.safetensors import PREFIX_BYTES, StoredTensor, decode_head, read_size

__all__ = ["build_text_graph", "check_text_meaning", "compute_weight_roots"]

_PIECE_BYTES: Final = 1 << 20


def check_text_meaning(package: Package) -> None:
    """Check that a package's graph is the one that its sizes and weights make.

    Raises:
        Refusal: `package.other-canonical`, `package.wrong-weights`, `safetensors.bad-head`, and
            those of `Package.read_file`.
        Fault: `hub.disk`.
        Misuse: `package.no-text`.
    """
    manifest = package.manifest
    if manifest.text is None or manifest.canonical is None:
        raise Misuse("package.no-text", f"{manifest.name} is no language model")
    roots = compute_weight_roots(manifest.text, package.folder / manifest.model)
    graph = build_text_graph(manifest.text, roots, manifest.canonical)
    digest = compute_canonical_digest(graph).hex()
    stated = manifest.canonical
    if digest != stated.digest or encode_graph(graph) != package.read_file(stated.graph):
        raise Refusal(
            "package.other-canonical",
            f"the weights of {manifest.name} {manifest.version} make {digest[:16]}…, the package "
            f"states {stated.digest[:16]}…",
            hint="do not use it; its publisher imports the model again",
        )


def build_text_graph(
    text: TextModel, roots: tuple[Root, ...], canonical: Canonical
) -> CanonicalGraph:
    """Build the graph that a manifest should state.

    Args:
        text: The sizes.
        roots: Of all weights of the file, in order.
        canonical: States which lengths of prompts and answers are admitted.
    """
    spans = {one.name: (one.least, one.greatest) for one in canonical.dims}
    return build_llama_graph(text, roots, prompts=spans["p"], answers=spans["a"]).graph


def compute_weight_roots(text: TextModel, path: Path) -> tuple[Root, ...]:
    """Compute the roots of a file's weights, in one pass and constant memory.

    Raises:
        Refusal: `package.wrong-weights` if they are not those of the sizes,
            `safetensors.bad-head`, and those of `open_regular`.
        Fault: `hub.disk`.
    """
    with disk_faults(f"cannot read {path}"), open_regular(path) as descriptor:
        size = read_size(os.read(descriptor, PREFIX_BYTES))
        tensors = decode_head(_read_whole(descriptor, size), os.fstat(descriptor).st_size)
        forms = match_weights(text, tensors, _wrong)
        return tuple(
            _compute_root(descriptor, *one)
            for one in zip(list_llama_weights(text), forms, tensors, strict=True)
        )


def _compute_root(
    descriptor: int, spec: WeightSpec, form: WeightForm, tensor: StoredTensor
) -> Root:
    """Compute the root of the weight that the file is read up to."""
    root = blake3(key=derive_weight_key("float32", spec.shape))
    row_bytes = 1 if form is WeightForm.FLOAT32 else tensor.shape[1]
    piece_bytes = row_bytes * max(1, _PIECE_BYTES // row_bytes)
    left = tensor.size
    while left:
        piece = _read_whole(descriptor, min(left, piece_bytes))
        left -= len(piece)
        root.update(piece if form is WeightForm.FLOAT32 else _decode(form, piece, row_bytes))
    return make_root(root.digest())


def _read_whole(descriptor: int, size: int) -> bytes:
    found = b""
    while len(found) < size:
        piece = os.read(descriptor, size - len(found))
        if not piece:
            raise _wrong("it has become shorter")
        found += piece
    return found


def _decode(form: WeightForm, piece: bytes, row_bytes: int) -> bytes:
    rows = decode_blocks(form, np.frombuffer(piece, np.uint8).reshape(-1, row_bytes))
    # Which NaN comes of a scale that is none is the processor's.
    if not np.isfinite(rows).all():
        raise _wrong("a scale of its blocks is not finite")
    return rows.astype("<f4", copy=False).tobytes()


def _wrong(why: str) -> Refusal:
    return Refusal("package.wrong-weights", f"the file of weights is not taken: {why}")
