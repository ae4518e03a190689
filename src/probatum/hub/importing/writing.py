"""Writes the package of a language model, weight after weight (`TEXT-1`).

One pass over the weights makes the file, its digest and each weight's root; sizes and roots make
the canonical graph. The same source and facts make the same bytes; kept in blocks, weights make
another file of the same meaning.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
import numpy as np
from blake3 import blake3

from probatum.canon.expand.language.blocks import (
    BLOCK_TERMS,
    WeightForm,
    decode_blocks,
    describe_weight,
    group_weights,
)
from probatum.canon.expand.language.llama import build_llama_graph
from probatum.canon.expand.language.weights import list_llama_weights
from probatum.canon.graph.packing import decode_graph, encode_graph
from probatum.canon.graph.records import compute_canonical_digest
from probatum.canon.trace.roots import derive_weight_key
from probatum.errors import Refusal
from probatum.hub.build import GRAPH_NAME, TOKENIZER_NAME
from probatum.hub.files import disk_faults, flush_folder, write_flushed
from probatum.hub.importing.rope import make_rope_tables
from probatum.hub.importing.sources import (
    Array,
    ModelSource,
    Weight,
    as_float32,
    check_weights,
    refuse_source,
)
from probatum.hub.package import MANIFEST_NAME, Package, load_package
from probatum.protocol.hashing import sha256
from probatum.protocol.manifests import (
    MANIFEST_FORMAT,
    TEXT_INPUTS,
    TEXT_OUTPUTS,
    Canonical,
    DimRange,
    FileEntry,
    Manifest,
    Parent,
    TextModel,
    decode_manifest,
    encode_manifest,
)
from probatum.protocol.primitives import Root, make_root
from probatum.protocol.safetensors import encode_head

__all__ = ["TEMPLATE_NAME", "WEIGHTS_NAME", "ImportFacts", "Progress", "write_text_package"]

WEIGHTS_NAME: Final = "model.safetensors"
TEMPLATE_NAME: Final = "chat_template.jinja"

Progress: TypeAlias = Callable[[int, int], None]
"""Is told how many bytes of weights are written, and of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportFacts:
    """What a publisher says of the model; fields as in `Manifest`.

    Attributes:
        context: Most tokens of prompt and answer together that the package admits.
    """

    name: str
    version: str
    licence: str
    description: str
    context: int
    parents: tuple[Parent, ...] = ()


def write_text_package(
    source: ModelSource,
    facts: ImportFacts,
    folder: Path,
    progress: Progress,
    *,
    keeps_blocks: bool = False,
) -> Package:
    """Write a package into a new folder, all or nothing.

    Args:
        source: The model.
        facts: What is said of it.
        folder: Must not exist yet; its parent must.
        progress: Is called after every piece.
        keeps_blocks: Whether weights that the source holds quantised stay so, where that can be.

    Returns:
        The package, loaded and checked like a stranger's.

    Raises:
        Refusal: `import.unsupported-model`, `package.folder-taken`, `package.bad-facts`.
        Fault: `hub.disk`.
    """
    check_weights(source)
    template = None if source.template is None else TEMPLATE_NAME
    text = msgspec.structs.replace(
        source.text, context=min(facts.context, source.text.context), template=template
    )
    if folder.exists():
        raise Refusal("package.folder-taken", f"{folder} exists already", hint="name a new folder")
    with (
        disk_faults(f"cannot write the package to {folder}"),
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=".importing-") as work,
    ):
        fresh = Path(work) / "package"
        fresh.mkdir()
        writing = _Writing(_list_weights(source, text, keeps_blocks=keeps_blocks), text, progress)
        write_flushed(fresh / WEIGHTS_NAME, writing.write())
        files = _make_files(source, text, writing.roots)
        entries = [
            FileEntry(path=WEIGHTS_NAME, size=writing.size, sha256=writing.digest.hexdigest()),
            *(
                FileEntry(path=path, size=len(data), sha256=sha256(data).hex())
                for path, data in files.items()
            ),
        ]
        manifest = _encode_checked(facts, text, files, entries)
        for path, data in (*files.items(), (MANIFEST_NAME, manifest)):
            write_flushed(fresh / path, iter((data,)))
        flush_folder(fresh)
        fresh.rename(folder)
        flush_folder(folder.parent)
    return load_package(folder)


class _Writing:
    """One pass over the weights: the file's bytes, its digest, the weights' roots."""

    def __init__(self, weights: Mapping[str, Weight], text: TextModel, progress: Progress) -> None:
        self.digest = hashlib.sha256()
        self.roots: list[Root] = []
        self.size = 0
        self._weights = weights
        self._progress = progress
        specs = list_llama_weights(text)
        self._kinds = [describe_weight(spec, weights[spec.name].form) for spec in specs]

    def write(self) -> Iterator[bytes]:
        """Give the file's bytes, piece by piece."""
        head = encode_head(self._kinds)
        yield self._count(head)
        total = sum(prod(shape) * (4 if kind == "F32" else 1) for _, kind, shape in self._kinds)
        for name, weight in self._weights.items():
            root = blake3(key=derive_weight_key("float32", weight.shape))
            left = prod(weight.shape)
            for stored, piece in _read(weight):
                if not np.isfinite(piece).all():
                    raise refuse_source(f"{name} holds a number that is not finite")
                root.update(piece.tobytes())
                left -= piece.size
                yield self._count(stored.tobytes())
                self._progress(self.size - len(head), total)
            if left:
                raise refuse_source(f"{name} has not the elements of its shape")
            self.roots.append(make_root(root.digest()))

    def _count(self, data: bytes) -> bytes:
        self.digest.update(data)
        self.size += len(data)
        return data


def _read(weight: Weight) -> Iterator[tuple[Array, Array]]:
    """Read a weight: what is stored of a piece, and the float32 that it stands for."""
    if weight.read_blocks is None:
        yield from ((piece, piece) for piece in weight.read())
        return
    for blocks in weight.read_blocks():
        yield blocks, as_float32(decode_blocks(weight.form, blocks))


def _list_weights(source: ModelSource, text: TextModel, *, keeps_blocks: bool) -> dict[str, Weight]:
    """List all weights in the package's order, tables of positions last."""
    cosines, sines = make_rope_tables(source.rope_base, text.head_width, text.context)
    held = {**source.weights, "rope.cos": _hold(cosines), "rope.sin": _hold(sines)}
    found: dict[str, Weight] = {}
    for group in group_weights(text):
        weights = {spec.name: held[spec.name] for spec in group}
        stays = keeps_blocks and _are_kept(list(weights.values()))
        found |= weights if stays else {name: _widen(one) for name, one in weights.items()}
    if keeps_blocks and all(one.form is WeightForm.FLOAT32 for one in found.values()):
        raise refuse_source(
            "the file holds no blocks that a package can keep",
            "import it without --keep-blocks: its weights become float32",
        )
    return found


def _are_kept(weights: list[Weight]) -> bool:
    """Tell whether weights that are read as one have one form, and end where floats may begin."""
    form = weights[0].form
    sizes = [prod(one.shape) // BLOCK_TERMS * form.block_bytes for one in weights]
    return all(one.form is form for one in weights) and not any(size % 4 for size in sizes)


def _widen(weight: Weight) -> Weight:
    return replace(weight, form=WeightForm.FLOAT32, read_blocks=None)


def _hold(table: Array) -> Weight:
    return Weight(shape=table.shape, read=lambda: iter((table,)))


def _make_files(source: ModelSource, text: TextModel, roots: list[Root]) -> dict[str, bytes]:
    span = (1, text.context - 1)
    built = build_llama_graph(text, tuple(roots), prompts=span, answers=span)
    files = {GRAPH_NAME: encode_graph(built.graph)}
    if source.tokenizer is not None:
        files[TOKENIZER_NAME] = source.tokenizer
    if source.template is not None:
        files[TEMPLATE_NAME] = source.template.encode()
    return files


def _encode_checked(
    facts: ImportFacts, text: TextModel, files: Mapping[str, bytes], entries: list[FileEntry]
) -> bytes:
    """Encode the manifest and decode it again: a maker's slip is refused like a stranger's."""
    digest = compute_canonical_digest(decode_graph(files[GRAPH_NAME])).hex()
    data = encode_manifest(
        Manifest(
            format=MANIFEST_FORMAT,
            name=facts.name,
            version=facts.version,
            task="text-generation",
            licence=facts.licence,
            description=facts.description,
            model=WEIGHTS_NAME,
            files=tuple(sorted(entries, key=lambda entry: entry.path)),
            inputs=TEXT_INPUTS,
            outputs=TEXT_OUTPUTS,
            parents=facts.parents,
            tokenizer=TOKENIZER_NAME if TOKENIZER_NAME in files else None,
            canonical=Canonical(
                digest=digest,
                graph=GRAPH_NAME,
                dims=tuple(
                    DimRange(name=name, least=1, greatest=text.context - 1) for name in ("a", "p")
                ),
            ),
            text=text,
        )
    )
    try:
        decode_manifest(data)
    except Refusal as refusal:
        raise Refusal("package.bad-facts", refusal.message, hint=refusal.hint) from None
    return data
