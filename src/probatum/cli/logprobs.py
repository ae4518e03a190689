"""A text's logprobs as people and programs read them: with what each token spells.

Must not know how they are computed (`probatum.runtime.text.rechecking`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from probatum.protocol.texts import read_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from probatum.hub.package import Package
    from probatum.protocol.logprobs import TokenLogprobs
    from probatum.protocol.tensors import Tensor

__all__ = ["PlaceShown", "list_places", "say_places"]


class CandidateShown(msgspec.Struct, frozen=True, kw_only=True):
    """A token: its number, what it spells where that is known, its logprob."""

    token: int
    text: str | None
    logprob: float


class PlaceShown(CandidateShown, frozen=True, kw_only=True):
    """One place of an answer, and the likeliest tokens there."""

    place: int
    top: tuple[CandidateShown, ...]


def list_places(
    package: Package, outputs: tuple[Tensor, ...] | None, logprobs: tuple[TokenLogprobs, ...]
) -> tuple[PlaceShown, ...]:
    """List an answer's places, with words of the package's tokenizer if it brings one.

    Raises:
        Refusal: `tokens.*`.
    """
    if not logprobs or outputs is None:
        return ()
    spell = _make_speller(package)
    return tuple(
        PlaceShown(
            place=at,
            token=token,
            text=spell(token),
            logprob=said.chosen,
            top=tuple(
                CandidateShown(token=other, text=spell(other), logprob=logprob)
                for other, logprob in said.top
            ),
        )
        for at, (token, said) in enumerate(zip(read_answer(outputs).ids, logprobs, strict=False))
    )


def say_places(places: tuple[PlaceShown, ...]) -> tuple[str, ...]:
    """Say places, a line each."""
    lines = []
    for place in places:
        others = "".join(f"  {_say(one)}" for one in place.top)
        lines.append(f"{place.place:>5}  {_say(place)}{'  |' if others else ''}{others}")
    return tuple(lines)


def _say(one: CandidateShown) -> str:
    # repr: what a model writes moves no cursor.
    spelled = f"{one.token}" if one.text is None else f"{one.token} {one.text!r}"
    return f"{spelled} {one.logprob:.4f}"


def _make_speller(package: Package) -> Callable[[int], str | None]:
    path = package.manifest.tokenizer
    if path is None:
        return lambda _: None
    from probatum.runtime.text.chat import ChatTokenizer  # noqa: PLC0415 - costs start-up

    words = ChatTokenizer(package.read_file(path), None)

    def spell(token: int) -> str | None:
        data = words.spell(token)
        return None if data is None else data.decode("utf-8", "backslashreplace")

    return spell
