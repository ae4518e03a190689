"""Chat templates: messages in, the text that the model was trained to continue out.

A template runs in a sandbox that counts what it does. A user's text that spells one of the model's
special tokens is found by where it stands (`render_parts`), so that it can be read as text. Must
not know tokens. Source: Hugging Face's chat templates. Read next: `sandbox`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from jinja2 import Template

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.runtime.text.sandbox import (
    WORK,
    Meter,
    Sandbox,
    compile_template,
    guard_template,
    make_bad_form,
    make_refused,
)

__all__ = ["MESSAGES", "TEMPLATE_BYTES", "ChatMessage", "ChatTemplate", "Part"]

TEMPLATE_BYTES: Final = 64 * limits.KIB
MESSAGES: Final = 1_024
"""Of one conversation."""
_PRIVATE: Final = range(0xE000, 0xF8FF)
"""Characters that mean nothing in Unicode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatMessage:
    """One message of a conversation."""

    role: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a rendered text; `is_literal` if special tokens in it are but text."""

    text: str
    is_literal: bool


class ChatTemplate:
    """A package's chat template; safe on any thread."""

    def __init__(self, source: str) -> None:
        """Read a template.

        Raises:
            Refusal: `template.bad-form`.
        """
        if len(source.encode()) > TEMPLATE_BYTES:
            raise make_bad_form(f"it has more than {TEMPLATE_BYTES} bytes")
        with guard_template():
            self._code = compile_template(source)

    def render(self, messages: Sequence[ChatMessage], *, work: int = WORK) -> str:
        """Make the text that the model is to continue.

        Args:
            messages: The conversation.
            work: What it may take; `WORK` at most.

        Raises:
            Refusal: `template.too-much`, `template.refused`, `template.bad-form`,
                `template.too-many-messages`.
        """
        if len(messages) > MESSAGES:
            raise Refusal(
                "template.too-many-messages", f"a conversation has at most {MESSAGES} messages"
            )
        meter = Meter(work)
        environment = Sandbox(meter)
        said = [{"role": one.role, "content": one.content} for one in messages]
        meter.weigh(said)
        with guard_template():
            names = environment.make_globals(None)
            template = Template.from_code(environment, self._code, names)
            return template.render(messages=said, add_generation_prompt=True)

    def render_parts(
        self, messages: Sequence[ChatMessage], special: Sequence[str], *, work: int = WORK
    ) -> tuple[Part, ...]:
        """Render, and tell the template's special tokens from a message's text that spells them.

        Args:
            messages: The conversation.
            special: How the model's special tokens are spelled.
            work: As for `render`.

        Raises:
            Refusal: As `render`.
        """
        contents = [one.content for one in messages]
        spelled = [token for token in special if any(token in text for text in contents)]
        if not spelled:
            return (Part(text=self.render(messages, work=work), is_literal=False),)
        # Each is hidden behind one character that nobody wrote, and found again by it.
        marks = [chr(code) for code in _PRIVATE if not any(chr(code) in text for text in contents)][
            : len(spelled)
        ]
        if len(marks) < len(spelled):
            raise make_refused("a message holds too many characters without meaning")
        # The longest first: one token's spelling may hold another's.
        hidden = dict(zip(sorted(spelled, key=len, reverse=True), marks, strict=True))
        text = self.render([_hide(one, hidden) for one in messages], work=work)
        shown = {mark: token for token, mark in hidden.items()}
        pieces = re.split(f"([{re.escape(''.join(marks))}])", text)
        return tuple(
            Part(text=shown.get(piece, piece), is_literal=piece in shown)
            for piece in pieces
            if piece
        )


def _hide(message: ChatMessage, hidden: Mapping[str, str]) -> ChatMessage:
    content = message.content
    for token, mark in hidden.items():
        content = content.replace(token, mark)
    return ChatMessage(role=message.role, content=content)
