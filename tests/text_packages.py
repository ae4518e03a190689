"""Packages of small language models with random weights, as the importer would write them."""

from __future__ import annotations

import msgspec

from probatum.canon.graph.packing import encode_graph
from probatum.canon.graph.records import compute_canonical_digest
from probatum.hub.package import load_package
from probatum.hub.texts import build_text_graph, compute_weight_roots
from probatum.protocol.hashing import sha256
from probatum.protocol.manifests import (
    TEXT_INPUTS,
    TEXT_OUTPUTS,
    Canonical,
    DimRange,
    FileEntry,
    Manifest,
    encode_manifest,
)
from tests.unit.runtime.text.llamas import TINY, draw_weights, write_weights

TEXT = msgspec.structs.replace(TINY, context=700, layers=4, width=96, hidden=256)
"""Slow enough to be interrupted."""


def write_text_package(folder, text=TEXT, seed=0):
    """Write a package into a folder and load it."""
    folder.mkdir()
    weights = write_weights(folder / "model.safetensors", draw_weights(text, seed=seed))
    span = {"least": 1, "greatest": text.context - 1}
    dims = (DimRange(name="a", **span), DimRange(name="p", **span))
    draft = Canonical(digest="0" * 64, graph="canonical.bin", dims=dims)
    graph = build_text_graph(text, compute_weight_roots(text, weights), draft)
    (folder / "canonical.bin").write_bytes(encode_graph(graph))
    manifest = Manifest(
        format="probatum-package/1",
        name="tiny",
        version="1",
        task="text-generation",
        licence="MIT",
        description="Random weights.",
        model="model.safetensors",
        files=tuple(
            FileEntry(path=name, size=len(data), sha256=sha256(data).hex())
            for name in ("canonical.bin", "model.safetensors")
            for data in ((folder / name).read_bytes(),)
        ),
        inputs=TEXT_INPUTS,
        outputs=TEXT_OUTPUTS,
        parents=(),
        canonical=msgspec.structs.replace(draft, digest=compute_canonical_digest(graph).hex()),
        text=text,
    )
    (folder / "probatum.json").write_bytes(encode_manifest(manifest))
    return load_package(folder)
