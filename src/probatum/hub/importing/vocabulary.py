"""Makes a `tokenizer.json` out of the vocabulary in a GGUF file.

Byte-pair vocabularies alone, and ways of cutting text into words that the tokenizers library has
built in, or that take no longer: a regular expression of a stranger's can take for ever
(`probatum.runtime.tokens` refuses it too).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from probatum.hub.importing.sources import refuse_source

__all__ = ["Vocabulary", "make_tokenizer"]

_CONTROL: Final = 3
_SPLITTINGS: Final = frozenset({"gpt-2", "smollm", "qwen2"})
_QWEN2_WORDS: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """What the file says of tokens.

    Attributes:
        kind: Of vocabulary: ``gpt2`` is byte pairs.
        splitting: How text is cut into words before.
        tokens: By id.
        kinds: Of each token; 3 is special.
        merges: Pairs, the most frequent first, parted by a space.
    """

    kind: str
    splitting: str
    tokens: Sequence[str]
    kinds: Sequence[int]
    merges: Sequence[str]


def make_tokenizer(vocabulary: Vocabulary) -> bytes:
    """Make the bytes of a `tokenizer.json`.

    Raises:
        Refusal: `import.unsupported-model`.
    """
    from tokenizers import (  # noqa: PLC0415 - costs start-up
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
    )

    if vocabulary.kind != "gpt2" or vocabulary.splitting not in _SPLITTINGS:
        raise refuse_source(
            f"vocabularies {vocabulary.kind[:20]}, {vocabulary.splitting[:20]} are not made here",
            "give the model's tokenizer.json: --tokenizer FILE",
        )
    merges = []
    for merge in vocabulary.merges:
        left, space, right = merge.partition(" ")
        if not left or not space or not right or " " in right:
            raise refuse_source("a merge of its vocabulary is no pair")
        merges.append((left, right))
    cut: Any = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if vocabulary.splitting == "smollm":
        cut = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), cut])
    if vocabulary.splitting == "qwen2":
        words = pre_tokenizers.Split(Regex(_QWEN2_WORDS), "isolated")
        whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        cut = pre_tokenizers.Sequence([words, whole])
    places = {token: number for number, token in enumerate(vocabulary.tokens)}
    try:
        tokenizer = Tokenizer(models.BPE(vocab=places, merges=merges))
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        raise refuse_source(f"its vocabulary does not fit together: {error}") from None
    tokenizer.pre_tokenizer = cut
    if vocabulary.splitting == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    special = [
        AddedToken(token, special=True, normalized=False)
        for token, kind in zip(vocabulary.tokens, vocabulary.kinds, strict=False)
        if kind == _CONTROL
    ]
    tokenizer.add_special_tokens(special)
    return tokenizer.to_str().encode()
