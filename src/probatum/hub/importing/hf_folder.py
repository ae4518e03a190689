"""Reads a Hugging Face folder of llama type: `config.json`, safetensors, tokenizer, template.

Qwen2 is that type too, with biases of queries, keys and values.

Weights in float32, float16 or bfloat16; the last two are widened, which is exact. Nothing of the
folder is run, and no file but those named here is opened.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import msgspec
import numpy as np
from msgspec import Meta

from probatum.errors import Refusal
from probatum.hub.files import disk_faults, open_regular, read_bounded
from probatum.hub.importing.sources import (
    Array,
    ModelSource,
    Weight,
    as_float32,
    check_sizes,
    refuse_source,
    split_rows,
)
from probatum.protocol import limits
from probatum.protocol.manifests import TextModel
from probatum.protocol.safetensors import PREFIX_BYTES, StoredTensor, decode_head, read_size

__all__ = ["read_folder"]

_TYPES: Final = frozenset({"llama", "qwen2"})
_CONFIG_BYTES: Final = limits.MIB
_TOKENIZER_BYTES: Final = 24 * limits.MIB
_SHARDS: Final = 64
_BASE: Final = 1e30
_SHARD_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_STORED: Final[Mapping[str, str]] = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_Count: TypeAlias = Annotated[int, Meta(ge=1, lt=1 << 24)]


class _Config(msgspec.Struct, frozen=True):
    """What is read of `config.json`."""

    model_type: str
    num_hidden_layers: _Count
    hidden_size: _Count
    intermediate_size: _Count
    num_attention_heads: _Count
    vocab_size: _Count
    max_position_embeddings: _Count
    rms_norm_eps: float
    num_key_value_heads: _Count | None = None
    head_dim: _Count | None = None
    rope_theta: float = 10000.0
    rope_scaling: dict[str, Any] | None = None
    rope_parameters: dict[str, Any] | None = None
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    use_sliding_window: bool = False
    hidden_act: str = "silu"
    eos_token_id: int | list[int] | None = None


class _Generation(msgspec.Struct, frozen=True):
    eos_token_id: int | list[int] | None = None


class _TokenizerConfig(msgspec.Struct, frozen=True):
    chat_template: str | None = None


class _Index(msgspec.Struct, frozen=True):
    weight_map: dict[str, str]


def read_folder(folder: Path, *, top_k: int) -> ModelSource:
    """Read what a folder says; weights are read when they are asked for.

    Args:
        folder: As `save_pretrained` writes it.
        top_k: Candidates of the sampling rule, see `TextModel`.

    Raises:
        Refusal: `import.unsupported-model`, `safetensors.bad-head`, `package.*` for odd files.
        Fault: `hub.disk`.
    """
    with disk_faults(f"cannot read {folder}"):
        config = _read_json(folder / "config.json", _Config)
        if config is None:
            raise refuse_source(f"{folder.name} holds no config.json", "name the model's folder")
        text = _read_sizes(config, folder, top_k)
        weights = _read_weights(folder)
        if text.is_tied:
            weights.pop("lm_head.weight", None)  # a copy of the embedding, if it is there at all
        tokenizer = folder / "tokenizer.json"
        return ModelSource(
            text=text,
            rope_base=_find_base(config),
            weights=weights,
            tokenizer=read_bounded(tokenizer, _TOKENIZER_BYTES) if tokenizer.is_file() else None,
            template=_read_template(folder),
            name=folder.name,
            licence="",
        )


def _read_json(path: Path, kind: Any) -> Any:
    """Read one JSON file, None if it is not there."""
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(read_bounded(path, _CONFIG_BYTES), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise refuse_source(f"{path.name}: {error}") from None


def _find_base(config: _Config) -> float:
    """Find the base of the angles; refuse positions that are scaled."""
    scaling = config.rope_scaling or config.rope_parameters or {}
    if scaling.get("rope_type", scaling.get("type", "default")) != "default":
        raise refuse_source("its positions are scaled (rope_scaling), which is not done here")
    base = scaling.get("rope_theta", config.rope_theta)
    if not isinstance(base, int | float) or not 1 <= base <= _BASE:
        raise refuse_source("the base of its positions is no number from 1 on")
    return float(base)


def _read_sizes(config: _Config, folder: Path, top_k: int) -> TextModel:
    if config.model_type not in _TYPES or config.hidden_act != "silu":
        raise refuse_source(
            f"it is a {config.model_type[:40]} model with {config.hidden_act[:40]}",
            "models of types llama and qwen2 with silu can be imported",
        )
    if config.attention_bias or config.mlp_bias:
        raise refuse_source("all its projections have biases, which is not done here")
    if config.use_sliding_window:
        raise refuse_source("its attention slides (use_sliding_window), which is not done here")
    generation = _read_json(folder / "generation_config.json", _Generation) or _Generation()
    said = [generation.eos_token_id, config.eos_token_id]
    stops = {one for each in said for one in (each if isinstance(each, list) else [each])}
    ids = tuple(sorted(one for one in stops if one is not None and one >= 0))
    if not ids:
        raise refuse_source("it names no token that ends an answer (eos_token_id)")
    if not 0 < config.rms_norm_eps <= 1:
        raise refuse_source("the epsilon of its norms is none")
    sizes = TextModel(
        architecture="llama",
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads or config.num_attention_heads,
        head_width=config.head_dim or config.hidden_size // config.num_attention_heads,
        hidden=config.intermediate_size,
        vocabulary=config.vocab_size,
        context=config.max_position_embeddings,
        norm_epsilon_bits=struct.unpack("<I", struct.pack("<f", config.rms_norm_eps))[0],
        is_tied=config.tie_word_embeddings,
        stop_ids=ids,
        rule="GUMBEL-1",
        top_k=top_k,
        qkv_bias=config.model_type == "qwen2",
    )
    return check_sizes(sizes)


def _read_template(folder: Path) -> str | None:
    path = folder / "chat_template.jinja"
    if path.is_file():
        try:
            return read_bounded(path, _CONFIG_BYTES).decode()
        except UnicodeDecodeError:
            raise refuse_source(f"{path.name} is no UTF-8 text") from None
    config = _read_json(folder / "tokenizer_config.json", _TokenizerConfig)
    return config.chat_template if config is not None else None


def _read_weights(folder: Path) -> dict[str, Weight]:
    index = _read_json(folder / "model.safetensors.index.json", _Index)
    names = ["model.safetensors"] if index is None else sorted(set(index.weight_map.values()))
    if len(names) > _SHARDS or not all(map(_SHARD_NAME.fullmatch, names)):
        raise refuse_source("its index names too many files, or files elsewhere")
    found: dict[str, Weight] = {}
    for name in names:
        for tensor in _read_heads(folder / name):
            if tensor.name in found:
                raise refuse_source(f"two files hold {tensor.name}")
            if tensor.dtype not in _STORED:
                raise refuse_source(f"{tensor.name} is {tensor.dtype}, not F32, F16 or BF16")
            if not tensor.name.endswith("rotary_emb.inv_freq"):
                read = partial(_read_weight, folder / name, tensor)
                found[tensor.name] = Weight(shape=tensor.shape, read=read)
    return found


def _read_heads(path: Path) -> tuple[StoredTensor, ...]:
    try:
        with open_regular(path) as descriptor, open(descriptor, "rb", closefd=False) as file:
            size = read_size(file.read(PREFIX_BYTES))
            return decode_head(file.read(size), path.stat().st_size)
    except Refusal as refusal:
        raise Refusal(refusal.code, f"{path.name}: {refusal.message}", hint=refusal.hint) from None


def _read_weight(path: Path, tensor: StoredTensor) -> Iterator[Array]:
    stored = np.dtype(_STORED[tensor.dtype])
    row = int(np.prod(tensor.shape[1:], dtype=np.int64))
    with disk_faults(f"cannot read {path}"), path.open("rb") as file:
        file.seek(tensor.begin)
        for rows in split_rows(tensor.shape[0], 4 * row):
            count = rows.stop - rows.start
            data = file.read(count * row * stored.itemsize)
            if len(data) != count * row * stored.itemsize:
                raise refuse_source(f"{path.name} has become shorter")
            piece = np.frombuffer(data, stored).reshape(count, *tensor.shape[1:])
            if tensor.dtype == "BF16":
                piece = (piece.astype(np.uint32) << 16).view(np.float32)
            yield as_float32(piece)
