"""Conversations and texts to token ids, and token ids to text as they come.

Special tokens are what a template wrote, never what a message spells. Text comes out in whole
characters: a token may hold a part of one. Must not know models. Read next: `template`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from probatum.errors import Refusal
from probatum.runtime.text.sandbox import WORK
from probatum.runtime.text.spelling import TokenSpelling
from probatum.runtime.text.template import ChatMessage, ChatTemplate
from probatum.runtime.tokens import TEXT_CHARS, check_tokenizer, guard_tokenizer

__all__ = ["ChatTokenizer", "TextStream"]

_SPECIAL: Final = 4_096
"""Special tokens of one model: published ones have some hundred."""
_PATIENCE: Final = 16
"""Tokens that one character is waited for as they come; four make any."""


class ChatTokenizer:
    """A language model's tokenizer and chat template; safe on any thread."""

    def __init__(self, tokenizer: bytes, template: str | None) -> None:
        """Read both.

        Raises:
            Refusal: `tokens.too-large`, `tokens.bad-tokenizer`, `template.bad-form`.
        """
        check_tokenizer(tokenizer)
        self._spelling = guard_tokenizer(lambda: _load(tokenizer, literal=False))
        self._literal = guard_tokenizer(lambda: _load(tokenizer, literal=True))
        added = self._spelling.get_added_tokens_decoder()
        special = {number: one for number, one in added.items() if one.special}
        self._special = tuple(sorted(one.content for one in special.values()))
        if len(special) > _SPECIAL or "" in self._special:
            raise Refusal(
                "tokens.bad-tokenizer",
                f"the package's tokenizer has more than {_SPECIAL} special tokens, or an empty one",
            )
        # Of these a text that is normalised first may have further spellings.
        folded = self._spelling.normalizer is not None
        unknown = _find_unknown(self._spelling, tokenizer)
        self._folded = frozenset(
            number
            for number, one in special.items()
            if folded and one.normalized and number != unknown
        )
        self._longest = tuple(sorted(self._special, key=len, reverse=True))
        self._tokens = TokenSpelling(self._spelling, tokenizer)
        self._template = None if template is None else ChatTemplate(template)

    def encode_chat(self, messages: Sequence[ChatMessage], *, work: int = WORK) -> tuple[int, ...]:
        """Turn a conversation into the tokens that the model goes on from.

        Args:
            messages: The conversation.
            work: What the template may take (`ChatTemplate.render`).

        Raises:
            Refusal: `text.no-template`, `text.hidden-token`, `tokens.too-large`,
                `tokens.bad-tokenizer`, `template.*`.
        """
        if self._template is None:
            raise Refusal(
                "text.no-template",
                "this model brings no chat template",
                hint="ask for a completion: /v1/completions",
            )
        if sum(len(one.content) for one in messages) > TEXT_CHARS:
            raise _too_large()
        ids: list[int] = []
        for part in self._template.render_parts(messages, self._special, work=work):
            found = self._encode(part.text, is_literal=part.is_literal)
            self._check_folded(part.text, found, is_literal=part.is_literal)
            ids += found
        return tuple(ids)

    def encode_text(self, text: str) -> tuple[int, ...]:
        """Turn a text into tokens as it is: nothing before it, special tokens where it spells them.

        Raises:
            Refusal: `tokens.too-large`, `tokens.bad-tokenizer`.
        """
        if len(text) > TEXT_CHARS:
            raise _too_large()
        return tuple(self._encode(text, is_literal=False))

    def decode(self, ids: Sequence[int]) -> str:
        """Turn tokens into text, special ones left out.

        Raises:
            Refusal: `tokens.bad-tokenizer`.
        """
        text: str = guard_tokenizer(lambda: self._spelling.decode(list(ids)))
        return text

    def spell(self, token: int) -> bytes | None:
        """Spell one token by itself, special ones too; None of a number that is none.

        Raises:
            Refusal: `tokens.bad-tokenizer`.
        """
        return self._tokens.spell(token)

    def start_stream(self) -> TextStream:
        """Begin to turn tokens into text as they come."""
        return TextStream(self._spelling)

    def _check_folded(self, text: str, ids: list[int], *, is_literal: bool) -> None:
        """Check that a text has no more special tokens than it spells, letter by letter."""
        found = sum(one in self._folded for one in ids)
        if not found:
            return
        spelled = (
            0 if is_literal else len(re.findall("|".join(map(re.escape, self._longest)), text))
        )
        if found > spelled:
            raise Refusal(
                "text.hidden-token",
                "a message spells one of the model's special tokens in other characters",
                hint="leave it out",
            )

    def _encode(self, text: str, *, is_literal: bool) -> list[int]:
        tokenizer = self._literal if is_literal else self._spelling
        ids: list[int] = guard_tokenizer(
            lambda: tokenizer.encode(text, add_special_tokens=False).ids
        )
        return ids


class TextStream:
    """Turns one answer's tokens into text, piece by piece; the pieces are the whole's text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Begin before the first token."""
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)
        self._ids: list[int] = []
        self._held: list[int] = []
        self._late = self._until = 0
        self._given = 0

    def push(self, token: int) -> str:
        """Take the next token; give the text that is certain now, perhaps none.

        Raises:
            Refusal: `tokens.bad-tokenizer`.
        """
        self._ids.append(token)
        self._held.append(token)
        self._late += 1
        if self._late < self._until:
            return ""
        held, self._held = self._held, []
        piece: str | None = guard_tokenizer(lambda: self._stream.step(self._tokenizer, held))
        if piece:
            self._late = self._until = 0
        elif self._late >= _PATIENCE:
            # Every try reads again what never became whole: so tries become rare.
            self._until = 2 * self._late
        self._given += len(piece or "")
        return piece or ""

    def finish(self) -> str:
        """Give what is left: parts of characters that never became whole.

        Raises:
            Refusal: `tokens.bad-tokenizer`.
        """
        whole: str = guard_tokenizer(lambda: self._tokenizer.decode(self._ids))
        return whole[self._given :]


def _load(data: bytes, *, literal: bool) -> Tokenizer:
    tokenizer = Tokenizer.from_buffer(data)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = literal
    return tokenizer


class _Unknown(msgspec.Struct, frozen=True):
    unk_token: str | None = None
    unk_id: int | None = None


class _File(msgspec.Struct, frozen=True):
    model: _Unknown


def _find_unknown(tokenizer: Tokenizer, data: bytes) -> int | None:
    """Find the token that stands for what the vocabulary lacks: any text may make it."""
    try:
        model = msgspec.json.decode(data, type=_File).model
    except msgspec.MsgspecError:
        return None
    found: int | None = model.unk_id
    return tokenizer.token_to_id(model.unk_token) if model.unk_token else found


def _too_large() -> Refusal:
    return Refusal("tokens.too-large", f"a text has at most {TEXT_CHARS} characters")
