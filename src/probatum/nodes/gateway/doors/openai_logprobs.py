"""The logprobs of one answer's tokens, kept until the text of the tokens is told.

Must not know messages or HTTP. Read next: `openai_hearing`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from probatum.errors import Refusal
from probatum.protocol.logprobs import TokenLogprobs
from probatum.protocol.openai_logprobs import (
    TokenLogprob,
    TopLogprob,
    WeighedToken,
    make_top_logprob,
)

__all__ = ["UNSIGNED", "Piece", "Weighing", "refuse_missing"]

UNSIGNED: Final = "not signed: compute them again, as by `probatum receipt recheck --logprobs`"
"""What logprobs of an exact text are worth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """More of an answer: its text, and its tokens if their logprobs were asked for."""

    text: str
    tokens: tuple[WeighedToken, ...] | None = None


class Weighing:
    """The tokens of one answer whose text is not told yet."""

    def __init__(self, spell: Callable[[int], bytes | None]) -> None:
        """Make it; `spell` says what one token stands for."""
        self._spell = spell
        self._spelled: dict[int, bytes | None] = {}
        self._waiting: deque[tuple[int, TokenLogprobs]] = deque()

    def take(self, ids: tuple[int, ...], said: tuple[TokenLogprobs, ...]) -> None:
        """Take tokens as they are heard."""
        self._waiting.extend(zip(ids, said, strict=True))

    def release(self, offsets: tuple[int, ...]) -> tuple[WeighedToken, ...]:
        """Give the next tokens, by where their texts begin.

        Raises:
            Refusal: `openai.no-logprobs`, `tokens.bad-tokenizer`.
        """
        if len(offsets) > len(self._waiting):
            raise refuse_missing()
        return tuple(self._weigh(*self._waiting.popleft(), offset) for offset in offsets)

    def _weigh(self, token: int, said: TokenLogprobs, offset: int) -> WeighedToken:
        own = self._show(token, said.chosen)
        top = tuple(self._show(one, logprob) for one, logprob in said.top)
        shown = TokenLogprob(
            token=own.token, logprob=own.logprob, bytes=own.bytes, top_logprobs=top
        )
        return WeighedToken(said=shown, offset=offset)

    def _show(self, token: int, logprob: float) -> TopLogprob:
        if token not in self._spelled:
            self._spelled[token] = self._spell(token)
        return make_top_logprob(self._spelled[token], logprob)


def refuse_missing() -> Refusal:
    """Make the refusal of an answer that came without the logprobs that were asked for."""
    return Refusal(
        "openai.no-logprobs",
        "the answer came without its logprobs: nobody keeps them once it is told",
        hint="ask anew, without Probatum-Request",
    )
