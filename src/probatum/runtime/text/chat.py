"""Conversations and texts to token ids, and token ids to text as they come.

Special tokens are what a template wrote, never what a message spells. Text comes out in whole
characters: a token may hold a part of one. Must not know models. Read next: `template`.
"""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from probatum.errors import Refusal
from probatum.runtime.text.template import ChatMessage, ChatTemplate
from probatum.runtime.tokens import TEXT_CHARS, check_tokenizer, guard_tokenizer

__all__ = ["ChatTokenizer", "TextStream"]


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
        self._special = tuple(sorted(one.content for one in added.values() if one.special))
        self._template = None if template is None else ChatTemplate(template)

    def encode_chat(self, messages: Sequence[ChatMessage]) -> tuple[int, ...]:
        """Turn a conversation into the tokens that the model goes on from.

        Raises:
            Refusal: `text.no-template`, `tokens.too-large`, `tokens.bad-tokenizer`, `template.*`.
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
        for part in self._template.render_parts(messages, self._special):
            ids += self._encode(part.text, is_literal=part.is_literal)
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

    def start_stream(self) -> TextStream:
        """Begin to turn tokens into text as they come."""
        return TextStream(self._spelling)

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
        self._given = 0

    def push(self, token: int) -> str:
        """Take the next token; give the text that is certain now, perhaps none.

        Raises:
            Refusal: `tokens.bad-tokenizer`.
        """
        self._ids.append(token)
        piece: str | None = guard_tokenizer(lambda: self._stream.step(self._tokenizer, token))
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


def _too_large() -> Refusal:
    return Refusal("tokens.too-large", f"a text has at most {TEXT_CHARS} characters")
