"""The weights of a language model: a safetensors file mapped into memory, and held to its sizes.

Processes that open one file share its pages; a copy has greater pages, which a processor that must
read all of them for every token finds faster. Matrices may be blocks that were born quantised, and
stay so. A stranger made the file: head, names, shapes and order are checked, and every element is
finite. Must not know what is computed with them.
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

from probatum.canon.evaluate.values import Array
from probatum.canon.expand.language.blocks import WeightForm, match_weights
from probatum.canon.expand.language.weights import list_layer_weights, list_llama_weights
from probatum.errors import Fault, Refusal
from probatum.protocol.manifests import TextModel
from probatum.protocol.safetensors import PREFIX_BYTES, StoredTensor, decode_head, read_size
from probatum.runtime.text.matrices import AnyMatrix, make_matrix

__all__ = ["Layer", "TextWeights", "open_weights"]

Floats = NDArray[np.float32]

_CHUNK: Final = 1 << 20
"""Elements that are looked at together."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """A weight as it lies in the file: float32 of its shape, or bytes, a row of blocks each."""

    form: WeightForm
    array: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer; what lies side by side in the file and reads the same rows is one matrix.

    Attributes:
        attention_norm: Weights [D].
        project: Queries, keys and values below one another, [(Hq + 2 Hkv) d, D].
        bias: Is added to what `project` makes, [(Hq + 2 Hkv) d]; None where nothing is.
        merge: [D, Hq d].
        feed_norm: Weights [D].
        expand: Gate above up, [2 F, D].
        contract: [D, F].
    """

    attention_norm: Floats
    project: AnyMatrix
    bias: Floats | None
    merge: AnyMatrix
    feed_norm: Floats
    expand: AnyMatrix
    contract: AnyMatrix


class TextWeights:
    """A model's weights.

    Attributes:
        text: The sizes that they have.
        embedding: A matrix too, [V, D], of which rows are read.
        layers: In order.
        final_norm: [D].
        head: Makes logits of states; the embedding where the model is tied.
        cosines: Of each position's angles, [context, d/2].
        sines: Likewise.
        file_bytes: Of the file.
    """

    def __init__(self, text: TextModel, file_bytes: int, stored: dict[str, _Stored]) -> None:
        self.text = text
        self.file_bytes = file_bytes
        self.embedding = _make_matrix("model.embed_tokens.weight", stored)
        self.final_norm: Floats = stored["model.norm.weight"].array
        self.cosines: Floats = stored["rope.cos"].array
        self.sines: Floats = stored["rope.sin"].array
        self.layers = tuple(_make_layer(text, number, stored) for number in range(text.layers))
        self.head = self.embedding if text.is_tied else _make_matrix("lm_head.weight", stored)

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
            forms = match_weights(text, stored, _wrong)
            file = _copy(stream, size) if copied else _map(stream)
    except OSError as error:
        raise Fault("text.disk", f"cannot read {path}: {error.strerror}") from error
    found = {
        spec.name: _Stored(form, _view(file, one))
        for spec, form, one in zip(list_llama_weights(text), forms, stored, strict=True)
    }
    for name, one in found.items():
        if one.form is WeightForm.FLOAT32:
            _check_finite(name, one.array)
    return TextWeights(text, size, found)


def _view(file: mmap.mmap | memoryview, tensor: StoredTensor) -> Array:
    dtype = np.dtype("<f4" if tensor.dtype == "F32" else np.uint8)
    count = tensor.size // dtype.itemsize
    flat: Array = np.frombuffer(file, dtype, count=count, offset=tensor.begin)
    return flat.reshape(tensor.shape)


def _map(stream: BufferedReader) -> mmap.mmap:
    return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


def _copy(stream: BufferedReader, size: int) -> memoryview:
    # Numpy asks the system for great pages where an array is large.
    memory: memoryview = np.empty(size, np.uint8).data
    stream.seek(0)
    if stream.readinto(memory) != size:
        raise _wrong("the file became shorter while it was read")
    return memory.toreadonly()


def _wrong(why: str) -> Refusal:
    return Refusal(
        "text.wrong-weights", f"not the weights of this model: {why}", hint="import it again"
    )


def _check_finite(name: str, array: Floats) -> None:
    flat = array.reshape(-1)
    for begin in range(0, flat.size, _CHUNK):
        if not np.isfinite(flat[begin : begin + _CHUNK]).all():
            raise _wrong(f"{name!r} holds an infinity or no number")


def _make_layer(text: TextModel, number: int, stored: dict[str, _Stored]) -> Layer:
    names = [spec.name for spec in list_layer_weights(text, number)]
    one, query, key, value, *biases, merge, two, gate, up, contract = names
    return Layer(
        attention_norm=stored[one].array,
        project=_make_matrix(query, stored, key, value),
        bias=_join_vectors(stored, *biases) if biases else None,
        merge=_make_matrix(merge, stored),
        feed_norm=stored[two].array,
        expand=_make_matrix(gate, stored, up),
        contract=_make_matrix(contract, stored),
    )


def _join_vectors(stored: dict[str, _Stored], *names: str) -> Floats:
    """See vectors that are neighbours in the file as one: nothing is copied."""
    first: Floats = stored[names[0]].array
    count = sum(len(stored[name].array) for name in names)
    return np.lib.stride_tricks.as_strided(first, (count,), first.strides, writeable=False)


def _make_matrix(name: str, stored: dict[str, _Stored], *joined: str) -> AnyMatrix:
    """Make a matrix; neighbours in the file are seen as one with it: nothing is copied."""
    first = stored[name]
    rows = first.array
    if joined:
        count = len(rows) + sum(len(stored[one].array) for one in joined)
        rows = np.lib.stride_tricks.as_strided(
            rows, (count, rows.shape[1]), rows.strides, writeable=False
        )
    matrix = make_matrix(first.form, rows)
    if not np.isfinite(matrix.norms).all():
        raise _wrong(f"{name!r} or a neighbour has a scale that is not finite")
    return matrix
