"""What another program's files say of a language model: sizes, weights in pieces, texts' files.

Weights are called as Hugging Face calls them (`probatum.canon.expand.language.weights`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from probatum.canon.expand.language.blocks import WeightForm
from probatum.canon.expand.language.weights import list_llama_weights
from probatum.errors import Refusal
from probatum.protocol.manifests import TextModel

__all__ = [
    "PIECE_BYTES",
    "Array",
    "ModelSource",
    "Weight",
    "as_float32",
    "check_sizes",
    "check_weights",
    "list_stored",
    "refuse_source",
    "split_rows",
]

Array: TypeAlias = npt.NDArray[Any]
PIECE_BYTES: Final = 16 << 20
"""About what a weight's piece has in float32."""
_CONTEXT: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """One tensor, read when it is wanted.

    Attributes:
        shape: Of the whole.
        read: Gives it as float32 in pieces along the first axis.
        form: In which the source stores it, if a package can hold that too.
        read_blocks: Gives it in that form, uint8 [rows, bytes], in pieces; of float32 absent.
    """

    shape: tuple[int, ...]
    read: Callable[[], Iterator[Array]]
    form: WeightForm = WeightForm.FLOAT32
    read_blocks: Callable[[], Iterator[Array]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """A language model as its files tell of it.

    Attributes:
        text: Its sizes; `context` as the files say, no template.
        rope_base: Base of the rotary positions' angles.
        weights: By the names of `list_stored`.
        tokenizer: Bytes of a `tokenizer.json`, None where the files give none.
        template: The chat template, None where there is none.
        name: What the files call it, perhaps nothing.
        licence: SPDX expression, perhaps nothing.
    """

    text: TextModel
    rope_base: float
    weights: Mapping[str, Weight]
    tokenizer: bytes | None
    template: str | None
    name: str
    licence: str


def check_sizes(text: TextModel) -> TextModel:
    """Check the sizes that files tell, before anything is made that is as large.

    Raises:
        Refusal: `import.unsupported-model`.
    """
    # A context may be longer than any package's: who imports it says how much is admitted.
    try:
        cut = msgspec.structs.replace(text, context=min(text.context, _CONTEXT))
        msgspec.convert(msgspec.to_builtins(cut), TextModel)
    except (msgspec.MsgspecError, TypeError) as error:
        raise refuse_source(f"a size is out of bounds: {error}") from None
    if text.heads % text.kv_heads or text.head_width % 2:
        raise refuse_source("its heads do not share keys evenly, or have no two halves")
    return text


def list_stored(text: TextModel) -> dict[str, tuple[int, ...]]:
    """List names and shapes of the weights that files hold: all but the tables of positions."""
    specs = list_llama_weights(text)
    return {spec.name: spec.shape for spec in specs if not spec.name.startswith("rope.")}


def check_weights(source: ModelSource) -> None:
    """Check that a source has every weight, in its shape, and none besides.

    Raises:
        Refusal: `import.unsupported-model`.
    """
    want = list_stored(source.text)
    missing = sorted(want.keys() - source.weights.keys())
    unknown = sorted(source.weights.keys() - want.keys())
    if missing or unknown:
        what = f"lacks {missing[0]}" if missing else f"also holds {unknown[0][:80]}"
        raise refuse_source(f"the file {what}: not a plain model of llama type")
    for name, shape in want.items():
        if source.weights[name].shape != shape:
            raise refuse_source(f"{name} has shape {source.weights[name].shape}, not {shape}")


def refuse_source(why: str, hint: str = "") -> Refusal:
    """Make the refusal of files that no package can be made of."""
    return Refusal("import.unsupported-model", why[:500], hint=hint)


def split_rows(rows: int, row_bytes: int) -> Iterator[slice]:
    """Cut rows into pieces of about `PIECE_BYTES`."""
    step = max(1, PIECE_BYTES // max(1, row_bytes))
    for begin in range(0, rows, step):
        yield slice(begin, min(begin + step, rows))


def as_float32(array: Array) -> Array:
    """Make contiguous little-endian float32; widening from narrower floats is exact."""
    return np.ascontiguousarray(array, dtype="<f4")
