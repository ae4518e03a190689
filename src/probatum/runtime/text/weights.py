"""The weights of a language model: a safetensors file mapped into memory, and held to its sizes.

Processes that open one file share its pages; a copy has greater pages, which a processor that must
read all of them for every token finds faster. A stranger made the file: head, names, shapes and
order are checked, and every element is finite. Must not know what is computed with them.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from probatum.canon.evaluate.values import Array, Doubles
from probatum.canon.expand.language.weights import list_layer_weights, list_llama_weights
from probatum.errors import Fault, Refusal
from probatum.protocol.manifests import TextModel
from probatum.protocol.safetensors import PREFIX_BYTES, StoredTensor, decode_head, read_size

__all__ = ["Layer", "Matrix", "TextWeights", "open_weights"]

Floats = NDArray[np.float32]

_NORM_CHUNK: Final = 1 << 20
"""Elements that are widened at a time."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix whose rows products are taken with.

    Attributes:
        rows: float32 [N, K], C-contiguous, finite.
        norms: Euclidean norms of the rows, [N]: the true ones times at most 1 ± 2**-20.
    """

    rows: Floats
    norms: Doubles


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer; what lies side by side in the file and reads the same rows is one matrix.

    Attributes:
        attention_norm: Weights [D].
        project: Queries, keys and values below one another, [(Hq + 2 Hkv) d, D].
        merge: [D, Hq d].
        feed_norm: Weights [D].
        expand: Gate above up, [2 F, D].
        contract: [D, F].
    """

    attention_norm: Floats
    project: Matrix
    merge: Matrix
    feed_norm: Floats
    expand: Matrix
    contract: Matrix


class TextWeights:
    """A model's weights.

    Attributes:
        text: The sizes that they have.
        embedding: [V, D].
        layers: In order.
        final_norm: [D].
        head: Makes logits of states; the embedding where the model is tied.
        cosines: Of each position's angles, [context, d/2].
        sines: Likewise.
        file_bytes: Of the file.
    """

    def __init__(self, text: TextModel, file_bytes: int, tensors: dict[str, Floats]) -> None:
        self.text = text
        self.file_bytes = file_bytes
        self.embedding = tensors["model.embed_tokens.weight"]
        self.final_norm = tensors["model.norm.weight"]
        self.cosines = tensors["rope.cos"]
        self.sines = tensors["rope.sin"]
        self.layers = tuple(_make_layer(text, number, tensors) for number in range(text.layers))
        self.head = _make_matrix(
            self.embedding if text.is_tied else tensors["lm_head.weight"],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the weights; nothing may be computed with them afterwards.

        The map itself ends with the last array that looks into it.
        """
        del self.embedding, self.final_norm, self.cosines, self.sines, self.layers, self.head


def open_weights(path: Path, text: TextModel, *, copied: bool = False) -> TextWeights:
    """Map a file of weights and check all of it.

    Args:
        path: A safetensors file, whose digest was held to its package's.
        text: The sizes that its manifest states.
        copied: Whether this process gets its own copy instead: faster to read, not shared.

    Raises:
        Refusal: `safetensors.bad-head`, `text.wrong-weights`.
        Fault: `text.disk`.
    """
    try:
        with path.open("rb") as stream:
            size = path.stat().st_size
            head_bytes = read_size(stream.read(PREFIX_BYTES))
            stored = decode_head(stream.read(head_bytes), size)
            _check_tensors(stored, text)
            file = _copy(stream, size) if copied else _map(stream)
    except OSError as error:
        raise Fault("text.disk", f"cannot read {path}: {error.strerror}") from error
    tensors = {
        one.name: np.frombuffer(
            file, np.dtype("<f4"), count=one.size // 4, offset=one.begin
        ).reshape(one.shape)
        for one in stored
    }
    for name, array in tensors.items():
        _check_finite(name, array)
    return TextWeights(text, size, tensors)


def _map(stream: BufferedReader) -> mmap.mmap:
    return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


def _copy(stream: BufferedReader, size: int) -> memoryview:
    # Numpy asks the system for great pages where an array is large.
    memory: memoryview = np.empty(size, np.uint8).data
    stream.seek(0)
    if stream.readinto(memory) != size:
        raise _wrong("the file became shorter while it was read")
    return memory.toreadonly()


def _check_tensors(stored: tuple[StoredTensor, ...], text: TextModel) -> None:
    """Check that a file holds what the graph reads, in its order, and nothing else."""
    want = [(spec.name, "F32", spec.shape) for spec in list_llama_weights(text)]
    have = [(one.name, one.dtype, one.shape) for one in stored]
    for place, (here, there) in enumerate(zip(have, want, strict=False)):
        if here != there:
            raise _wrong(f"tensor {place} is {_show(here)}, and should be {_show(there)}")
    if len(have) != len(want):
        raise _wrong(f"there are {len(have)} tensors, and should be {len(want)}")
    if any(one.begin % 4 for one in stored):
        raise _wrong("tensors do not begin at multiples of four bytes")


def _show(tensor: tuple[str, str, tuple[int, ...]]) -> str:
    name, dtype, shape = tensor
    return f"{name[:60]!r} {dtype} {list(shape)}"


def _wrong(why: str) -> Refusal:
    return Refusal(
        "text.wrong-weights", f"not the weights of this model: {why}", hint="import it again"
    )


def _check_finite(name: str, array: Floats) -> None:
    flat = array.reshape(-1)
    for begin in range(0, flat.size, _NORM_CHUNK):
        if not np.isfinite(flat[begin : begin + _NORM_CHUNK]).all():
            raise _wrong(f"{name!r} holds an infinity or no number")


def _make_layer(text: TextModel, number: int, tensors: dict[str, Floats]) -> Layer:
    names = [spec.name for spec in list_layer_weights(text, number)]
    one, query, key, value, merge, two, gate, up, contract = (tensors[name] for name in names)
    return Layer(
        attention_norm=one,
        project=_make_matrix(_join(query, key, value)),
        merge=_make_matrix(merge),
        feed_norm=two,
        expand=_make_matrix(_join(gate, up)),
        contract=_make_matrix(contract),
    )


def _join(*parts: Floats) -> Floats:
    """See neighbours in the file as one matrix: nothing is copied."""
    rows = sum(len(part) for part in parts)
    return np.lib.stride_tricks.as_strided(
        parts[0], (rows, parts[0].shape[1]), parts[0].strides, writeable=False
    )


def _make_matrix(rows: Floats) -> Matrix:
    step = max(1, _NORM_CHUNK // rows.shape[1])
    squares = [
        np.vecdot(wide, wide)
        for begin in range(0, len(rows), step)
        for wide in (_widen(rows[begin : begin + step]),)
    ]
    return Matrix(rows, np.sqrt(np.concatenate(squares)))


def _widen(rows: Array) -> Doubles:
    return rows.astype(np.float64)
