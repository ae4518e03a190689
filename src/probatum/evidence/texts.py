"""What of a receipt of a text can be checked: its end by the records, its tokens by the rule.

A cancellation is the gateway's, and the receipt names it (`TEXT-1`). With the content at hand and
the rule's choices, which somebody has to compute, the first token that is wrong is found, and why.
Must not know how a choice is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from probatum.errors import Refusal
from probatum.evidence.custody import CheckedBranch
from probatum.protocol.dsse import Envelope
from probatum.protocol.manifests import TextModel
from probatum.protocol.prefixes import Cancellation, check_cancellation, open_cancellation
from probatum.protocol.receipts import Receipt
from probatum.protocol.texts import Text, is_ended

__all__ = ["TextFault", "check_cancelled", "find_text_fault"]


def check_cancelled(
    receipt: Receipt, envelope: Envelope | None, branches: tuple[CheckedBranch, ...]
) -> Cancellation | None:
    """Check that a receipt names the cancellation beside it, and that its gateway signed that.

    Args:
        receipt: `check_receipt` has passed it.
        envelope: The bundle's cancellation, None if it has none.
        branches: All hand-overs.

    Raises:
        Refusal: `receipt.wrong-cancellation`, `text.*`, `dsse.*`, `statement.*`, `encoding.*`.
    """
    if envelope is None:
        if receipt.cancelled is not None:
            raise Refusal("receipt.wrong-cancellation", "the cancellation that it names is absent")
        return None
    record, digest = open_cancellation(envelope)
    if receipt.cancelled != digest.hex():
        raise Refusal("receipt.wrong-cancellation", "the receipt does not name this cancellation")
    first = branches[0].record
    check_cancellation(record, first.request_digest, first.giver)
    return record


Why: TypeAlias = Literal[
    "other choice", "ended too early", "ended too late", "not ended", "lacks what was heard"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFault:
    """Where a text is not the rule's, first.

    Attributes:
        place: Of the token, from 0; the text's length where what is wrong is its end.
        why: What is wrong there.
        right: The token that the rule chooses; None where no token is wrong.
        given: The token that was given; None where none was.
    """

    place: int
    why: Why
    right: int | None = None
    given: int | None = None


def find_text_fault(
    model: TextModel,
    limit: int,
    answer: Text,
    chosen: tuple[int, ...],
    cancellation: Cancellation | None,
) -> TextFault | None:
    """Find where an answer is not what the rule makes of its request (`TEXT-1`).

    Args:
        model: The language model.
        limit: Tokens that were asked for at most.
        answer: What was answered.
        chosen: The rule's choice at each place of the answer, after the tokens given before it; as
            far as the first token that is none, or that is behind the limit.
        cancellation: The one that the receipt names, None if it names none.

    Returns:
        None if the answer is right.
    """
    for place, (right, given) in enumerate(zip(chosen, answer.ids, strict=False)):
        if place and answer.ids[place - 1] in model.stop_ids:
            return TextFault(place=place, why="ended too late", given=given)
        if place >= limit:
            return TextFault(place=place, why="ended too late", given=given)
        if right != given:
            why: Why = "other choice"
            if right in model.stop_ids:
                why = "ended too late"
            elif given in model.stop_ids:
                why = "ended too early"
            return TextFault(place=place, why=why, right=right, given=given)
    length = len(answer.ids)
    if len(chosen) < length:
        place = len(chosen)
        late = place >= limit or (place > 0 and answer.ids[place - 1] in model.stop_ids)
        return TextFault(
            place=place,
            why="ended too late" if late else "other choice",
            given=answer.ids[place],
        )
    ended = is_ended(model, limit, answer.ids)
    if ended is not answer.ended:
        return TextFault(place=length, why="ended too late" if ended else "ended too early")
    if ended:
        return None
    if cancellation is None:
        return TextFault(place=length, why="not ended")
    if length < cancellation.seen:
        return TextFault(place=length, why="lacks what was heard")
    return None
