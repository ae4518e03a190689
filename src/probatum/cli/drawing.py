"""How a text is to be drawn: the options of every command that has one written.

Must not know who writes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Annotated, Final

from cyclopts import Group, Parameter

from probatum.errors import Refusal

__all__ = ["DRAWING", "SAYING", "Drawing", "Saying", "TextWish"]

_TEXT: Final = Group("Text", sort_key=40)


@Parameter(name="*", group=_TEXT)
@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """How a text is to be drawn.

    Attributes:
        temperature: What noise is multiplied by.
        top_k: Candidates at each place.
        seed: Makes the nonces; None lets the client draw them.
        max_tokens: Of an answer.
    """

    temperature: Annotated[
        float, Parameter(help="What noise is multiplied by; 0 takes the likeliest token.")
    ] = 0.7
    top_k: Annotated[int, Parameter(help="Candidates at each place, or as many as there are.")] = 20
    seed: Annotated[
        int | None, Parameter(help="The same seed makes the same texts; else chance is drawn.")
    ] = None
    max_tokens: Annotated[int, Parameter(help="Tokens of an answer at most.")] = 256

    def make_nonce(self, turn: int) -> bytes | None:
        """Make the nonce of a conversation's turn; None lets the client draw one.

        Turn 0 has the nonce that a gateway makes of the same seed.

        Raises:
            Refusal: `text.bad-seed`.
        """
        if self.seed is None:
            return None
        try:
            return struct.pack("<qQ16x", self.seed, turn)
        except struct.error:
            raise Refusal("text.bad-seed", "a seed is a whole number of 64 bits") from None


DRAWING: Final = Drawing()


@dataclass(frozen=True, slots=True, kw_only=True)
class TextWish:
    """What is asked.

    Attributes:
        text: What the model is to go on from, or with `is_chat` to answer to.
        is_chat: Whether the model's chat template is applied.
        is_settled: Whether to wait until the receipt is settled.
        node: Who alone may answer.
        timeout_s: For the answer.
    """

    text: str
    is_chat: bool
    is_settled: bool
    node: str | None
    timeout_s: float


@Parameter(name="*", group=_TEXT)
@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """What is said to a language model.

    Attributes:
        text: None where no text is asked for.
        chat: Whether it is a message.
    """

    text: Annotated[
        str | None, Parameter(help="What a language model is to go on from, in place of inputs.")
    ] = None
    chat: Annotated[
        bool, Parameter(help="With --text: it is a message, put as the model's template says.")
    ] = False

    def make_wish(self, *, is_settled: bool, node: str | None, timeout_s: float) -> TextWish:
        """Make what is asked; arguments as in `TextWish`."""
        return TextWish(
            text=self.text or "",
            is_chat=self.chat,
            is_settled=is_settled,
            node=node,
            timeout_s=timeout_s,
        )


SAYING: Final = Saying()
