"""`probatum ask --text`: one text, written as it comes, and its receipt."""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path

from probatum.cli.connecting import connect
from probatum.cli.drawing import Drawing, TextWish
from probatum.cli.output import print_json, print_lines, waiting
from probatum.cli.settings import Common
from probatum.cli.spending import Spend
from probatum.cli.texting import (
    Asking,
    Language,
    Written,
    describe_text,
    open_language,
    say_evidence,
)
from probatum.errors import Refusal
from probatum.runtime.text.template import ChatMessage

__all__ = ["ask_text", "check_words", "show_piece"]


def ask_text(common: Common, model: str, wish: TextWish, drawing: Drawing, spend: Spend) -> None:
    """Ask for one text, and show it.

    Raises:
        Refusal: `text.*`, `model.*`, `tokens.*`, `template.*`, `settings.*`, and the network's.
        Fault: `wire.*`, and the network's.
    """
    check_words(wish.text)
    language = open_language(common, model)
    prompt = _encode(language, wish)
    with connect(common, spend.make_rules(common), is_told=True) as client:
        asking = Asking(
            client=client,
            language=language,
            drawing=drawing,
            node=wish.node,
            timeout_s=wish.timeout_s,
        )
        written = asking.write(prompt, 0, _ignore if common.json else show_piece)
        if wish.is_settled:
            with waiting("waiting for the node's next checkpoint …"):
                client.settle(written.answer.answer)
    if common.json:
        print_json({**describe_text(language, written), "is_settled": wish.is_settled})
        return
    print_lines(("", "", say_evidence(written), _say_next(common, written, wish)))


def _encode(language: Language, wish: TextWish) -> tuple[int, ...]:
    if wish.is_chat:
        return language.words.encode_chat((ChatMessage(role="user", content=wish.text),))
    ids = language.words.encode_text(wish.text)
    if not ids:
        raise Refusal("text.no-prompt", "there is nothing to go on from", hint='--text "Once"')
    return ids


def check_words(text: str) -> None:
    """Refuse what a terminal gave that is no UTF-8. Raises Refusal `text.not-utf8`."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refusal("text.not-utf8", "that is no UTF-8 text") from None


def show_piece(piece: str) -> None:
    """Show a piece of a text at once; what would control a terminal is shown as an escape."""
    if sys.stdout.isatty():
        piece = "".join(one if _is_harmless(one) else ascii(one)[1:-1] for one in piece)
    sys.stdout.write(piece)
    sys.stdout.flush()


def _is_harmless(one: str) -> bool:
    return one in "\n\t" or unicodedata.category(one) not in {"Cc", "Cf", "Cs"}


def _ignore(_: str) -> None:
    """Show nothing: the whole is printed as JSON."""


def _say_next(common: Common, written: Written, wish: TextWish) -> str:
    request_id = written.answer.answer.request_id
    if not wish.is_settled:
        return f"Next: probatum receipt settle {request_id}"
    path: Path | str = common.find_trust_path() or "TRUST.json"
    return f"Next: probatum receipt verify {request_id} --trust {path}"
