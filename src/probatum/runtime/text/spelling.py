"""What one token stands for, by itself: bytes, which may be a part of a character.

A text's decoder joins tokens, drops special ones and mends what is cut; who looks at single tokens
wants what each of them adds. Must not know texts. Read next: `chat`.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from tokenizers import Tokenizer

from probatum.runtime.tokens import guard_tokenizer

__all__ = ["TokenSpelling"]

_BYTE: Final = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SPACE: Final = "\u2581"
"""How pieces of some tokenizers write a space."""


class TokenSpelling:
    """Spells a tokenizer's tokens; safe on any thread."""

    def __init__(self, tokenizer: Tokenizer, data: bytes) -> None:
        """Take a tokenizer and the file that it was made of; `check_tokenizer` has passed it."""
        self._tokenizer = tokenizer
        self._added = tokenizer.get_added_tokens_decoder()
        self._kinds, self._has_spaces = _find_decoders(data)

    def spell(self, token: int) -> bytes | None:
        """Spell a token; None of a number that is no token of this tokenizer.

        Raises:
            Refusal: `tokens.bad-tokenizer`.
        """
        if token in self._added:
            added: str = self._added[token].content
            return added.encode("utf-8", "surrogatepass")
        piece: str | None = guard_tokenizer(lambda: self._tokenizer.id_to_token(token))
        if piece is None:
            return None
        if "ByteLevel" in self._kinds and all(char in _BYTES for char in piece):
            return bytes(_BYTES[char] for char in piece)
        if "ByteFallback" in self._kinds and (found := _BYTE.fullmatch(piece)):
            return bytes.fromhex(found[1])
        if self._has_spaces:
            return piece.replace(_SPACE, " ").encode()
        text: str = guard_tokenizer(
            lambda: self._tokenizer.decode([token], skip_special_tokens=False)
        )
        return text.encode()


def _make_bytes() -> dict[str, int]:
    """Make the table by which byte-level tokenizers write bytes as printable characters.

    Printable ones of Latin-1 stand for themselves; the others, in order, for what follows U+0100.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    rest = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in sorted(printable)}
    return table | {chr(256 + at): byte for at, byte in enumerate(rest)}


_BYTES: Final = _make_bytes()


class _File(msgspec.Struct, frozen=True):
    decoder: dict[str, Any] | None = None


def _find_decoders(data: bytes) -> tuple[frozenset[str], bool]:
    """Find the kinds of a file's decoders, and whether one of them writes spaces of its own."""
    try:
        first = msgspec.json.decode(data, type=_File).decoder
    except msgspec.MsgspecError:
        return frozenset(), False
    parts: list[dict[str, Any]] = [first] if first else []
    kinds: set[str] = set()
    has_spaces = False
    for part in parts:
        kinds.add(str(part.get("type")))
        more = part.get("decoders")
        if isinstance(more, list):
            parts += [one for one in more if isinstance(one, dict)]
        pattern = part.get("pattern")
        spaced = isinstance(pattern, dict) and pattern.get("String") == _SPACE
        has_spaces |= part.get("type") == "Metaspace" or spaced
    return frozenset(kinds), has_spaces
