"""The weights of a llama: names, shapes, and the one order in which they stand (`TEXT-1`).

The file of a package holds them so; its graph's first weight records are these. Names are those
that Hugging Face gives. Must not know what is computed with them.
"""

from __future__ import annotations

from dataclasses import dataclass

from probatum.protocol.manifests import TextModel

__all__ = ["WeightSpec", "list_layer_weights", "list_llama_weights"]


@dataclass(frozen=True, slots=True)
class WeightSpec:
    """A float32 weight: its name in the file and its shape; matrices are outputs by inputs."""

    name: str
    shape: tuple[int, ...]


def list_layer_weights(text: TextModel, layer: int) -> tuple[WeightSpec, ...]:
    """List the weights of one layer, in order: nine, or twelve where there are biases."""
    width, hidden = text.width, text.hidden
    queries, keys = text.heads * text.head_width, text.kv_heads * text.head_width
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = (
        ("input_layernorm.weight", (width,)),
        ("self_attn.q_proj.weight", (queries, width)),
        ("self_attn.k_proj.weight", (keys, width)),
        ("self_attn.v_proj.weight", (keys, width)),
        *((("self_attn.q_proj.bias", (queries,)),) if text.qkv_bias else ()),
        *((("self_attn.k_proj.bias", (keys,)),) if text.qkv_bias else ()),
        *((("self_attn.v_proj.bias", (keys,)),) if text.qkv_bias else ()),
        ("self_attn.o_proj.weight", (width, queries)),
        ("post_attention_layernorm.weight", (width,)),
        ("mlp.gate_proj.weight", (hidden, width)),
        ("mlp.up_proj.weight", (hidden, width)),
        ("mlp.down_proj.weight", (width, hidden)),
    )
    return tuple(WeightSpec(f"model.layers.{layer}.{name}", shape) for name, shape in shapes)


def list_llama_weights(text: TextModel) -> tuple[WeightSpec, ...]:
    """List all weights of a model, in order; a tied model has no `lm_head`."""
    table = (text.vocabulary, text.width)
    angles = (text.context, text.head_width // 2)
    layers = (list_layer_weights(text, layer) for layer in range(text.layers))
    return (
        WeightSpec("model.embed_tokens.weight", table),
        *(spec for layer in layers for spec in layer),
        WeightSpec("model.norm.weight", (text.width,)),
        *(() if text.is_tied else (WeightSpec("lm_head.weight", table),)),
        WeightSpec("rope.cos", angles),
        WeightSpec("rope.sin", angles),
    )
