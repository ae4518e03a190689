"""Texts to token ids, by the `tokenizer.json` that a package brings (Hugging Face's format).

The file is a stranger's. What it may contain is held down before the library sees it, so that no
text can take long: no regular expressions of its own (they backtrack), no words without end.
Must not know where the file comes from, nor what the tokens are for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from probatum.errors import Refusal
from probatum.protocol import limits

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = [
    "TEXT_CHARS",
    "TOKENIZER_BYTES",
    "TextTokenizer",
    "Tokens",
    "check_tokenizer",
    "guard_tokenizer",
]

TOKENIZER_BYTES: Final = 24 * limits.MIB
"""A `tokenizer.json`: those of multilingual models have 17 MB."""
TEXT_CHARS: Final = 100_000
"""One text."""
LONGEST: Final = 8_192
"""Tokens of one text where neither manifest nor file says less."""
_PART_BYTES: Final = 2 * limits.MIB
_WORD_CHARS: Final = 1_000
_DEPTH: Final = 32
_QWEN2: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen2 cuts text into words: it goes back over white space alone, and once."""
_HARMLESS: Final = frozenset({" {2,}", r"\s+", r"\s", " ", _QWEN2})
"""Regular expressions that published tokenizers bring and that do not backtrack at length."""
_MODELS: Final = frozenset({"BPE", "Unigram", "WordLevel", "WordPiece"})


class _Model(msgspec.Struct, frozen=True):
    type: str = "BPE"
    max_input_chars_per_word: int = 0


class _Limit(msgspec.Struct, frozen=True):
    max_length: int = LONGEST


class _Pad(msgspec.Struct, frozen=True):
    pad_id: int = 0


class _File(msgspec.Struct, frozen=True):
    """What is looked at; vocabularies are skipped."""

    model: _Model
    truncation: _Limit | None = None
    padding: _Pad | None = None
    normalizer: msgspec.Raw = msgspec.Raw(b"null")
    pre_tokenizer: msgspec.Raw = msgspec.Raw(b"null")
    post_processor: msgspec.Raw = msgspec.Raw(b"null")
    decoder: msgspec.Raw = msgspec.Raw(b"null")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """One text's token ids; `is_cut` if the text had more."""

    ids: tuple[int, ...]
    is_cut: bool = False


class TextTokenizer:
    """A package's tokenizer. Slow to make, quick to use; safe on any thread."""

    def __init__(self, data: bytes, *, max_tokens: int | None = None) -> None:
        """Read a `tokenizer.json`.

        Args:
            data: The file.
            max_tokens: Tokens of one text, special ones included; None for what the file says.

        Raises:
            Refusal: `tokens.too-large`, `tokens.bad-tokenizer`.
        """
        file = _check_file(data)
        usual = file.truncation.max_length if file.truncation else LONGEST
        self.max_tokens = min(max_tokens or usual, LONGEST)
        self.pad_id = file.padding.pad_id if file.padding else 0
        self._tokenizer = self._load(data)

    def encode(self, texts: Sequence[str]) -> tuple[Tokens, ...]:
        """Turn texts into tokens, with the special ones that the model wants.

        Raises:
            Refusal: `tokens.too-large` for a text beyond `TEXT_CHARS`, `tokens.bad-tokenizer` if
                the file fails where it is used.
        """
        if any(len(text) > TEXT_CHARS for text in texts):
            raise Refusal("tokens.too-large", f"a text has at most {TEXT_CHARS} characters")
        found = guard_tokenizer(lambda: self._tokenizer.encode_batch(list(texts)))
        return tuple(Tokens(ids=tuple(one.ids), is_cut=bool(one.overflowing)) for one in found)

    def _load(self, data: bytes) -> Tokenizer:
        from tokenizers import Tokenizer  # noqa: PLC0415 - costs start-up

        def load() -> Tokenizer:
            tokenizer = Tokenizer.from_buffer(data)
            tokenizer.no_padding()
            tokenizer.enable_truncation(self.max_tokens)
            return tokenizer

        loaded: Tokenizer = guard_tokenizer(load)
        return loaded


def guard_tokenizer(use: Any) -> Any:
    """Use the library; whatever it says of a stranger's file is a refusal.

    Raises:
        Refusal: `tokens.bad-tokenizer`.
    """
    try:
        return use()
    except (KeyboardInterrupt, SystemExit):
        raise
    # The library's panics come as an exception of its own that is no Exception.
    except BaseException as error:  # noqa: BLE001
        raise Refusal(
            "tokens.bad-tokenizer", f"the package's tokenizer cannot be used: {str(error)[:300]}"
        ) from None


def check_tokenizer(data: bytes) -> None:
    """Check what a `tokenizer.json` may contain, before the library sees it.

    Raises:
        Refusal: `tokens.too-large`, `tokens.bad-tokenizer`.
    """
    _check_file(data)


def _check_file(data: bytes) -> _File:
    if len(data) > TOKENIZER_BYTES:
        raise Refusal("tokens.too-large", f"a tokenizer has at most {TOKENIZER_BYTES} bytes")
    try:
        file = msgspec.json.decode(data, type=_File)
        for part in (file.normalizer, file.pre_tokenizer, file.post_processor, file.decoder):
            if len(bytes(part)) > _PART_BYTES:
                raise _bad("a part of it is too large")
            _check_part(msgspec.json.decode(part), 0)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _bad(str(error)) from None
    if file.model.type not in _MODELS:
        raise _bad(f"its model {file.model.type[:40]!r} is not known here")
    if file.model.max_input_chars_per_word > _WORD_CHARS:
        raise _bad("it takes words without end")
    if file.truncation is not None and file.truncation.max_length < 1:
        raise _bad("it takes no tokens")
    if file.padding is not None and not 0 <= file.padding.pad_id < 1 << 31:
        raise _bad("its padding is no token")
    return file


def _check_part(part: Any, depth: int) -> None:
    """Check that nothing in a part of the file is a regular expression that may backtrack."""
    if depth > _DEPTH:
        raise _bad("it is nested too deep")
    inner: Sequence[Any] = ()
    if isinstance(part, dict):
        pattern = part.get("Regex")
        if pattern is not None and pattern not in _HARMLESS:
            raise _bad("it brings a regular expression of its own")
        inner = tuple(part.values())
    elif isinstance(part, list):
        inner = part
    for one in inner:
        _check_part(one, depth + 1)


def _bad(why: str) -> Refusal:
    return Refusal("tokens.bad-tokenizer", f"the package's tokenizer is not taken: {why[:300]}")
