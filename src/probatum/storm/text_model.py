"""The language model that a storm's network hosts: its tokens are hashes, and everybody can tell.

The next token is drawn from the prompt, what was written, and, unless the temperature is 0, the
request's nonce. Must not know who writes.
"""

from __future__ import annotations

from typing import Final

from probatum.errors import Refusal
from probatum.protocol.hashing import sha256
from probatum.protocol.manifests import (
    MANIFEST_FORMAT,
    TEXT_INPUTS,
    TEXT_OUTPUTS,
    Canonical,
    DimRange,
    FileEntry,
    Manifest,
    TextModel,
    compute_package_digest,
    encode_manifest,
)
from probatum.protocol.primitives import Digest
from probatum.protocol.tensors import Tensor
from probatum.protocol.texts import (
    TextQuestion,
    is_ended,
    make_question,
    pack_ids,
    read_question,
)

__all__ = ["MANIFEST", "MODEL", "PACKAGE", "choose", "choose_all", "make_input", "write"]

_WEIGHTS: Final = b"storm: tokens are hashes"
_GRAPH: Final = b"storm: a hash"
_PROMPT: Final = 64
_ANSWER: Final = 120

MODEL: Final = TextModel(
    architecture="llama",
    layers=1,
    width=2,
    heads=1,
    kv_heads=1,
    head_width=2,
    hidden=2,
    vocabulary=64,
    context=192,
    norm_epsilon_bits=0x3727C5AC,
    is_tied=True,
    stop_ids=(0,),
    rule="GUMBEL-1",
    top_k=8,
)

MANIFEST: Final = Manifest(
    format=MANIFEST_FORMAT,
    name="hasher",
    version="1",
    task="text-generation",
    licence="Apache-2.0",
    description="Says what hashes say.",
    model="model.safetensors",
    files=(
        FileEntry(path="graph.bin", size=len(_GRAPH), sha256=sha256(_GRAPH).hex()),
        FileEntry(path="model.safetensors", size=len(_WEIGHTS), sha256=sha256(_WEIGHTS).hex()),
    ),
    inputs=TEXT_INPUTS,
    outputs=TEXT_OUTPUTS,
    parents=(),
    canonical=Canonical(
        digest=sha256(b"hasher").hex(),
        graph="graph.bin",
        dims=(
            DimRange(name="a", least=1, greatest=_ANSWER),
            DimRange(name="p", least=1, greatest=_PROMPT),
        ),
    ),
    text=MODEL,
)
PACKAGE: Final = compute_package_digest(encode_manifest(MANIFEST))


def make_input(data: bytes) -> tuple[Tensor, ...]:
    """Make a request of some bytes, at least four."""
    return make_question(
        TextQuestion(
            prompt=tuple(byte % MODEL.vocabulary for byte in data[3:]),
            limit=1 + data[0] % _ANSWER,
            temperature=(data[1] % 3) / 2,
            top_k=1 + data[2] % MODEL.top_k,
        )
    )


def choose(question: TextQuestion, nonce: bytes, ids: tuple[int, ...]) -> int:
    """Choose the token after `ids`."""
    chance = nonce if question.temperature else b""
    settings = encode_settings(question)
    data = b"/".join((chance, settings, pack_ids(question.prompt), pack_ids(ids)))
    return sha256(data)[0] % MODEL.vocabulary


def encode_settings(question: TextQuestion) -> bytes:
    """Encode what of a request decides about tokens besides prompt and chance."""
    return b"%d %d %d" % (question.temperature * 2, question.top_k, question.choice)


def choose_all(question: TextQuestion, nonce: bytes, ids: tuple[int, ...]) -> tuple[int, ...]:
    """Choose at every place, after the tokens that are given before it: a prefill."""
    return tuple(choose(question, nonce, ids[:place]) for place in range(len(ids)))


def write(
    package: Digest, inputs: tuple[Tensor, ...], nonce: bytes, prefix: tuple[int, ...]
) -> tuple[int, ...] | Refusal:
    """Write the whole answer: what a storm's nodes have for a runtime."""
    if package != PACKAGE:
        return Refusal("storm.unknown-package", "no such package here")
    question = read_question(MANIFEST, inputs)
    right = choose_all(question, nonce, prefix)
    if right != prefix:
        place = next(at for at, one in enumerate(right) if one != prefix[at])
        return Refusal("text.wrong-prefix", f"token {place} is not the rule's choice")
    ids = prefix
    while not is_ended(MODEL, question.limit, ids):
        ids = (*ids, choose(question, nonce, ids))
    return ids
