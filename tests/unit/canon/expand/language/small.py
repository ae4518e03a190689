"""A small llama with random weights, and what it computes in plain float64."""

import hashlib
import struct

import numpy as np

from probatum.canon.arith.gumbel import compute_gumbel
from probatum.canon.expand.language.llama import build_llama_graph
from probatum.canon.expand.language.weights import list_llama_weights
from probatum.canon.trace.roots import compute_weight_root
from probatum.protocol.manifests import TextModel

NONCE = bytes(range(32))
SMALL = {
    "architecture": "llama",
    "layers": 2,
    "width": 32,
    "heads": 4,
    "kv_heads": 2,
    "head_width": 8,
    "hidden": 48,
    "vocabulary": 64,
    "context": 48,
    "norm_epsilon_bits": int(np.float32(1e-5).view(np.uint32)),
    "is_tied": True,
    "stop_ids": (2, 5),
    "rule": "GUMBEL-1",
    "top_k": 16,
}


def make_text(**changes):
    return TextModel(**(SMALL | changes))


def make_weights(text, seed=0):
    """Weights that make logits of a few units."""
    rng = np.random.default_rng(seed)
    weights = {}
    for spec in list_llama_weights(text):
        if spec.name.startswith("rope."):
            places = np.arange(text.context)[:, None]
            rates = 1e4 ** (-np.arange(0, text.head_width, 2) / text.head_width)
            turn = np.cos if spec.name == "rope.cos" else np.sin
            array = turn(places * rates)
        elif len(spec.shape) == 1:
            array = 1 + 0.2 * rng.standard_normal(spec.shape)
        else:
            scale = 1.0 if spec.name in ("model.embed_tokens.weight", "lm_head.weight") else 1.5
            array = rng.standard_normal(spec.shape) * scale / np.sqrt(spec.shape[1])
        weights[spec.name] = array.astype(np.float32)
    return weights


def make_graph(text, weights, prompts=(1, 24), answers=(1, 24)):
    roots = tuple(
        compute_weight_root("float32", array.shape, array.tobytes()) for array in weights.values()
    )
    return build_llama_graph(text, roots, prompts=prompts, answers=answers)


def make_inputs(prompt, answer, *, limit=24, temperature=0.0, top_k=16, choice=0, nonce=NONCE):
    return [
        np.array(prompt, np.int64),
        np.array(answer, np.int64),
        np.array([limit], np.int64),
        np.array([temperature], np.float32),
        np.array([top_k], np.int64),
        np.array([choice], np.int64),
        np.frombuffer(nonce, "<i8").astype(np.int64),
    ]


def compute_logits(text, weights, ids):
    """Compute logits of all places: float64, one token and one head after the other."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    epsilon = float(np.array(text.norm_epsilon_bits, np.uint32).view(np.float32))
    d, half = text.head_width, text.head_width // 2

    def norm(x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * w[f"{name}.weight"]

    def rotate(x, place):
        turn = (w["rope.cos"] + 1j * w["rope.sin"])[place]
        turned = (x[:half] + 1j * x[half:]) * turn
        return np.concatenate([turned.real, turned.imag])

    x = w["model.embed_tokens.weight"][list(ids)]
    for layer in range(text.layers):
        at = f"model.layers.{layer}."
        h = norm(x, at + "input_layernorm")
        q, k, v = (
            h @ w[f"{at}self_attn.{one}_proj.weight"].T + w.get(f"{at}self_attn.{one}_proj.bias", 0)
            for one in "qkv"
        )
        mixed = np.zeros((len(ids), text.heads * d))
        for head in range(text.heads):
            shared = head // (text.heads // text.kv_heads)
            mine, theirs = slice(head * d, head * d + d), slice(shared * d, shared * d + d)
            keys = np.array([rotate(row, place) for place, row in enumerate(k[:, theirs])])
            for place in range(len(ids)):
                scores = keys[: place + 1] @ rotate(q[place, mine], place) / np.sqrt(d)
                shares = np.exp(scores - scores.max())
                mixed[place, mine] = shares / shares.sum() @ v[: place + 1, theirs]
        x = x + mixed @ w[f"{at}self_attn.o_proj.weight"].T
        h = norm(x, at + "post_attention_layernorm")
        gate = h @ w[f"{at}mlp.gate_proj.weight"].T
        fed = gate / (1 + np.exp(-gate)) * (h @ w[f"{at}mlp.up_proj.weight"].T)
        x = x + fed @ w[f"{at}mlp.down_proj.weight"].T
    head = w["model.embed_tokens.weight"] if text.is_tied else w["lm_head.weight"]
    return norm(x, "model.norm") @ head.T


def compute_noise(nonce, choice, place, token):
    key = hashlib.sha256(b"probatum/gumbel/1" + nonce + struct.pack(">Q", choice)).digest()
    block = hashlib.sha256(key + struct.pack(">QQ", place, token // 8)).digest()
    return compute_gumbel(struct.unpack(">8I", block)[token % 8]) / 2**18


def choose(logits, place, *, temperature, top_k, choice=0, nonce=NONCE):
    """The rule in words: the greatest of logit and noise among the candidates, then the least."""
    order = sorted(range(len(logits)), key=lambda token: (-logits[token], token))[:top_k]
    t = np.float32(temperature)
    merits = {
        token: np.float32(logits[token])
        + t * np.float32(compute_noise(nonce, choice, place, token))
        for token in order
    }
    best = max(merits.values())
    return min(token for token, merit in merits.items() if merit == best)
