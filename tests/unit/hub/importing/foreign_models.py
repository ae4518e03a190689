"""One small llama with random weights, as other programs would store it."""

import json

import gguf
import numpy as np
import safetensors.numpy
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

LAYERS, WIDTH, HEADS, KV_HEADS, HIDDEN, CONTEXT = 2, 32, 4, 2, 48, 64
HEAD = WIDTH // HEADS
TOKENS = ["<|end|>", "<|start|>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "he", "ll", "hell"]
MERGES = ["h e", "l l", "he ll"]
TEMPLATE = "{% for m in messages %}<|start|>{{ m.content }}<|end|>{% endfor %}<|start|>"


def make_weights(seed=0, *, tied=True, biased=False, dtype=np.float32):
    """Weights by Hugging Face's names."""
    chance = np.random.default_rng(seed)

    def draw(*shape):
        return (chance.standard_normal(shape) / 4).astype(dtype)

    weights = {"model.embed_tokens.weight": draw(len(TOKENS), WIDTH)}
    for layer in range(LAYERS):
        block = f"model.layers.{layer}"
        weights |= {
            f"{block}.input_layernorm.weight": draw(WIDTH),
            f"{block}.self_attn.q_proj.weight": draw(WIDTH, WIDTH),
            f"{block}.self_attn.k_proj.weight": draw(KV_HEADS * HEAD, WIDTH),
            f"{block}.self_attn.v_proj.weight": draw(KV_HEADS * HEAD, WIDTH),
            f"{block}.self_attn.o_proj.weight": draw(WIDTH, WIDTH),
            f"{block}.post_attention_layernorm.weight": draw(WIDTH),
            f"{block}.mlp.gate_proj.weight": draw(HIDDEN, WIDTH),
            f"{block}.mlp.up_proj.weight": draw(HIDDEN, WIDTH),
            f"{block}.mlp.down_proj.weight": draw(WIDTH, HIDDEN),
        }
        if biased:
            weights |= {
                f"{block}.self_attn.q_proj.bias": draw(WIDTH),
                f"{block}.self_attn.k_proj.bias": draw(KV_HEADS * HEAD),
                f"{block}.self_attn.v_proj.bias": draw(KV_HEADS * HEAD),
            }
    weights["model.norm.weight"] = draw(WIDTH)
    if not tied:
        weights["lm_head.weight"] = draw(len(TOKENS), WIDTH)
    return weights


def make_tokenizer():
    """The tokenizer that Hugging Face's library would store."""
    merges = [tuple(merge.split(" ")) for merge in MERGES]
    vocab = {token: number for number, token in enumerate(TOKENS)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(TOKENS[:2])
    return tokenizer


def write_folder(folder, weights, *, config=None, save=safetensors.numpy.save_file):
    """A Hugging Face folder."""
    folder.mkdir()
    facts = {
        "model_type": "llama",
        "num_hidden_layers": LAYERS,
        "hidden_size": WIDTH,
        "intermediate_size": HIDDEN,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "vocab_size": len(TOKENS),
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": "lm_head.weight" not in weights,
        "eos_token_id": 0,
        "torch_dtype": "float32",
        **(config or {}),
    }
    (folder / "config.json").write_text(json.dumps(facts))
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    make_tokenizer().save(str(folder / "tokenizer.json"))
    save(weights, folder / "model.safetensors")
    return folder


def pair_rows(weight, heads):
    """Put the rows of each head's halves side by side, as llama.cpp stores them."""
    half = weight.shape[0] // heads // 2
    return weight.reshape(heads, 2, half, -1).swapaxes(1, 2).reshape(weight.shape)


GGUF_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(path, weights, *, architecture="llama", quantise=None, facts=None):
    """A GGUF file; `quantise` makes a matrix into blocks and their type."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("Tiny")
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, 3] + [1] * (len(TOKENS) - 2))
    writer.add_token_merges(MERGES)
    writer.add_eos_token_id(0)
    writer.add_chat_template(TEMPLATE)
    for key, value in (facts or {}).items():
        writer.add_string(key, value)
    for name, weight in weights.items():
        stored, kind = weight, None
        if name.endswith("q_proj.weight") and architecture == "llama":
            stored = pair_rows(weight, HEADS)
        if name.endswith("k_proj.weight") and architecture == "llama":
            stored = pair_rows(weight, KV_HEADS)
        if quantise is not None and stored.ndim == 2:
            stored, kind = quantise(np.ascontiguousarray(stored))
        writer.add_tensor(rename(name), np.ascontiguousarray(stored), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def rename(name):
    whole = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    if name in whole:
        return whole[name]
    _, _, layer, *kind, part = name.split(".")
    return f"blk.{layer}.{GGUF_NAMES['.'.join(kind)]}.{part}"
