"""Reads a GGUF file of type llama or qwen2: llama.cpp's format, quantised or not.

Weights are what the format's own reference makes of the stored blocks, in float32. A llama's file
holds the rows of queries and keys in another order (pairs side by side); they are put back into the
order in which positions are rotated in halves. Those of qwen2 lie so already. Source: the `gguf`
library and llama.cpp's `convert_hf_to_gguf.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from probatum.canon.expand.language.blocks import WeightForm, is_form_taken
from probatum.errors import Refusal
from probatum.hub.importing.gguf_head import check_head
from probatum.hub.importing.licences import find_licence
from probatum.hub.importing.sources import (
    Array,
    ModelSource,
    Weight,
    as_float32,
    check_sizes,
    refuse_source,
    split_rows,
)
from probatum.hub.importing.vocabulary import Vocabulary, make_tokenizer
from probatum.protocol.manifests import TextModel

if TYPE_CHECKING:
    from gguf import GGUFReader, ReaderTensor

__all__ = ["read_gguf"]

_BLOCK: Final = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_WHOLE: Final = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_ARCHITECTURES: Final = frozenset({"llama", "qwen2"})
_UNUSED: Final = frozenset({"rope_freqs.weight"})
_STOPS: Final = ("eos_token_id", "eot_token_id", "eom_token_id")
_FLOAT_BYTES: Final = 4
_BASE: Final = 1e30


def read_gguf(path: Path, *, top_k: int) -> ModelSource:
    """Read what a GGUF file says; weights are read when they are asked for.

    Args:
        path: The file.
        top_k: Candidates of the sampling rule, see `TextModel`.

    Raises:
        Refusal: `import.needs-gguf`, `import.unsupported-model`.
    """
    reader = _open(path)
    try:
        return _read_source(path, reader, top_k)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise refuse_source(f"{path.name} says odd things: {error}") from None
    except struct.error as error:
        raise refuse_source(f"{path.name} says a number that is too great: {error}") from None


def _read_source(path: Path, reader: GGUFReader, top_k: int) -> ModelSource:
    facts = _Facts(reader)
    if facts.architecture not in _ARCHITECTURES:
        raise refuse_source(
            f"the architecture is {facts.architecture[:40]!r}",
            "files of types llama and qwen2 can be imported",
        )
    if facts.get_own("rope.scaling.type") not in {None, "none"} or any(
        tensor.name in _UNUSED for tensor in reader.tensors
    ):
        raise refuse_source("its positions are scaled (rope scaling), which is not done here")
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    text = _read_sizes(facts, tensors, top_k)
    base = facts.get_own("rope.freq_base") or 10000.0
    if not isinstance(base, int | float) or not 1 <= base <= _BASE:
        raise refuse_source("the base of its positions is no number from 1 on")
    template = facts.get("tokenizer.chat_template")
    return ModelSource(
        text=text,
        rope_base=float(base),
        weights={
            _rename(name): _make_weight(tensor, 0 if text.qkv_bias else _count_pairs(name, text))
            for name, tensor in tensors.items()
        },
        tokenizer=_read_tokenizer(facts),
        template=template if isinstance(template, str) else None,
        name=str(facts.get("general.name") or path.stem),
        licence=find_licence(facts.get("general.license")),
    )


def _open(path: Path) -> GGUFReader:
    try:
        from gguf import GGUFReader  # noqa: PLC0415 - an extra: only importers need it
    except ImportError:
        raise Refusal(
            "import.needs-gguf",
            "reading GGUF files needs a library that is not installed",
            hint="pip install 'probatum[import]'",
        ) from None
    try:
        if not path.is_file():
            raise refuse_source(f"{path} is no file")
        with path.open("rb") as file:
            check_head(file, path.stat().st_size)
        return GGUFReader(path)
    except OSError as error:
        raise refuse_source(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, LookupError, TypeError, ArithmeticError, MemoryError) as error:
        raise refuse_source(f"{path.name} is no whole GGUF file: {error}") from None


class _Facts:
    """The file's key-value pairs."""

    def __init__(self, reader: GGUFReader) -> None:
        self._fields = reader.fields
        self.architecture = str(self.get("general.architecture"))

    def get_own(self, key: str) -> Any:
        """Get a value that files of this architecture say under its name."""
        return self.get(f"{self.architecture}.{key}")

    def get(self, key: str) -> Any:
        """Get a value, None where the file says nothing."""
        field = self._fields.get(key)
        if field is None:
            return None
        try:
            return field.contents()
        except (ValueError, IndexError, KeyError, UnicodeDecodeError) as error:
            raise refuse_source(f"{key} cannot be read: {error}") from None

    def get_count(self, key: str) -> int:
        """Get a number that files of this architecture must say."""
        value = self.get_own(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise refuse_source(f"the file does not say {self.architecture}.{key} as one number")
        return value


def _read_sizes(facts: _Facts, tensors: dict[str, ReaderTensor], top_k: int) -> TextModel:
    heads = facts.get_count("attention.head_count")
    width = facts.get_count("embedding_length")
    head_width = facts.get_own("attention.key_length") or width // heads
    rotated = facts.get_own("rope.dimension_count") or head_width
    if rotated != head_width or facts.get_own("expert_count"):
        raise refuse_source("it rotates a part of a head only, or mixes experts")
    embedding = tensors.get("token_embd.weight")
    if embedding is None:
        raise refuse_source("the file holds no token_embd.weight")
    epsilon = facts.get_own("attention.layer_norm_rms_epsilon")
    stops = [facts.get(f"tokenizer.ggml.{name}") for name in _STOPS]
    ids = tuple(sorted({one for one in stops if isinstance(one, int)}))
    if not isinstance(epsilon, float) or not ids:
        raise refuse_source("it names no epsilon of its norms, or no token that ends an answer")
    sizes = TextModel(
        architecture="llama",
        layers=facts.get_count("block_count"),
        width=width,
        heads=heads,
        kv_heads=facts.get_own("attention.head_count_kv") or heads,
        head_width=head_width,
        hidden=facts.get_count("feed_forward_length"),
        vocabulary=int(embedding.shape[1]),
        context=facts.get_count("context_length"),
        norm_epsilon_bits=struct.unpack("<I", struct.pack("<f", epsilon))[0],
        is_tied="output.weight" not in tensors,
        stop_ids=ids,
        rule="GUMBEL-1",
        top_k=top_k,
        qkv_bias=facts.architecture == "qwen2",
    )
    return check_sizes(sizes)


def _rename(name: str) -> str:
    parts = name.split(".")
    if len(parts) == 4 and parts[0] == "blk" and parts[2] in _BLOCK:
        return f"model.layers.{parts[1]}.{_BLOCK[parts[2]]}.{parts[3]}"
    return _WHOLE.get(name, name)


def _count_pairs(name: str, text: TextModel) -> int:
    """Count the heads whose rows lie in pairs; 0 where none do."""
    kind = name.split(".")[2:3]
    return {"attn_q": text.heads, "attn_k": text.kv_heads}.get(kind[0], 0) if kind else 0


def _make_weight(tensor: ReaderTensor, heads: int) -> Weight:
    shape = tuple(int(size) for size in reversed(tensor.shape.tolist()))
    if heads and shape[0] % (2 * heads):
        raise refuse_source(f"{tensor.name} does not divide into {heads} heads")
    form = WeightForm.__members__.get(tensor.tensor_type.name, WeightForm.FLOAT32)
    if not is_form_taken(form, shape):
        form = WeightForm.FLOAT32
    return Weight(
        shape=shape,
        read=partial(_read_weight, tensor, shape, heads),
        form=form,
        read_blocks=None
        if form is WeightForm.FLOAT32
        else partial(_read_blocks, tensor, shape[0], heads),
    )


def _read_blocks(tensor: ReaderTensor, rows: int, heads: int) -> Iterator[Array]:
    blocks = np.asarray(tensor.data).reshape(rows, -1)
    if heads:
        yield _part_halves(blocks, heads)
        return
    for some in split_rows(rows, blocks.shape[1]):
        yield blocks[some]


def _part_halves(rows: Array, heads: int) -> Array:
    """Put rows that lie in pairs into halves of each head."""
    pairs = rows.reshape(heads, len(rows) // heads // 2, 2, *rows.shape[1:])
    return pairs.swapaxes(1, 2).reshape(rows.shape)


def _read_weight(tensor: ReaderTensor, shape: tuple[int, ...], heads: int) -> Iterator[Array]:
    from gguf import dequantize  # noqa: PLC0415 - see above

    def widen(rows: Array) -> Array:
        try:
            return as_float32(dequantize(rows, tensor.tensor_type))
        except (NotImplementedError, ValueError) as error:
            raise refuse_source(f"{tensor.name} cannot be read: {error}") from None

    if heads or len(shape) == 1:
        whole = widen(tensor.data).reshape(shape)
        yield as_float32(_part_halves(whole, heads)) if heads else whole
        return
    for rows in split_rows(shape[0], _FLOAT_BYTES * shape[1]):
        yield widen(tensor.data[rows]).reshape(-1, *shape[1:])


def _read_tokenizer(facts: _Facts) -> bytes | None:
    tokens = facts.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list):
        return None
    return make_tokenizer(
        Vocabulary(
            kind=str(facts.get("tokenizer.ggml.model")),
            splitting=str(facts.get("tokenizer.ggml.pre")),
            tokens=tokens,
            kinds=facts.get("tokenizer.ggml.token_type") or [],
            merges=facts.get("tokenizer.ggml.merges") or [],
        )
    )
