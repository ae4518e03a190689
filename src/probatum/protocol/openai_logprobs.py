r"""Logprobs as the OpenAI API says them: in chats a value a token, in completions four lists.

A token is shown as its text; bytes that are no whole character are written as ``\xe2``. Must not
know where they come from. Read next: `openai_text`.
"""

from __future__ import annotations

from probatum.protocol.openai import Body

__all__ = [
    "ChatLogprobs",
    "CompletionLogprobs",
    "TokenLogprob",
    "TopLogprob",
    "WeighedToken",
    "make_chat_logprobs",
    "make_completion_logprobs",
    "make_top_logprob",
]


class TopLogprob(Body, frozen=True, kw_only=True):
    """A token and its logprob; `bytes` is None where nobody knows what it spells."""

    token: str
    logprob: float
    bytes: tuple[int, ...] | None


class TokenLogprob(TopLogprob, frozen=True, kw_only=True):
    """A token of the answer, and the likeliest ones there."""

    top_logprobs: tuple[TopLogprob, ...]


class ChatLogprobs(Body, frozen=True, kw_only=True):
    """Logprobs of a chat's answer, or of a piece of it."""

    content: tuple[TokenLogprob, ...]
    refusal: None = None


class CompletionLogprobs(Body, frozen=True, kw_only=True):
    """Logprobs of a completion, or of a piece of it.

    Attributes:
        top_logprobs: At each place the likeliest tokens, and the answer's own.
        text_offset: Where each token begins in the answer's text, in characters.
    """

    tokens: tuple[str, ...]
    token_logprobs: tuple[float, ...]
    top_logprobs: tuple[dict[str, float], ...]
    text_offset: tuple[int, ...]


class WeighedToken(Body, frozen=True, kw_only=True):
    """A token of an answer; `offset` is where it begins in the text, in characters."""

    said: TokenLogprob
    offset: int


def make_top_logprob(spelled: bytes | None, logprob: float) -> TopLogprob:
    """Make a token's entry of what it spells."""
    if spelled is None:
        return TopLogprob(token="", logprob=logprob, bytes=None)
    text = spelled.decode("utf-8", "backslashreplace")
    return TopLogprob(token=text, logprob=logprob, bytes=tuple(spelled))


def make_chat_logprobs(tokens: tuple[WeighedToken, ...]) -> ChatLogprobs:
    """Say tokens as chats do."""
    return ChatLogprobs(content=tuple(token.said for token in tokens))


def make_completion_logprobs(tokens: tuple[WeighedToken, ...]) -> CompletionLogprobs:
    """Say tokens as completions do."""
    said = tuple(token.said for token in tokens)
    return CompletionLogprobs(
        tokens=tuple(one.token for one in said),
        token_logprobs=tuple(one.logprob for one in said),
        top_logprobs=tuple(_list_likeliest(one) for one in said),
        text_offset=tuple(token.offset for token in tokens),
    )


def _list_likeliest(said: TokenLogprob) -> dict[str, float]:
    found: dict[str, float] = {}
    # Of two tokens that look alike the likelier one is told.
    for one in (*said.top_logprobs, said):
        found.setdefault(one.token, one.logprob)
    return found
