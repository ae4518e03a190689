"""Judges loops: each turn must do something that the engine cannot leave out (`PUB-1`).

An engine looks whether a run is to end between two operators. A loop whose turn has none, or has
none left after optimisation, counts to what its input says and nothing can end it but the end of
the process. So some output of a turn is made by an operator from what the turn was given: that
cannot be computed beforehand, and must be computed in the turn. Must not know other rules.
"""

from __future__ import annotations

from typing import Final

from probatum.errors import Refusal
from probatum.runtime.admission import bounds
from probatum.runtime.admission.reading import Message
from probatum.runtime.admission.reasons import Reasons, show_name

__all__ = ["judge_loop"]

_LOOPS: Final = frozenset({"Loop", "Scan"})
_FORESEEABLE: Final = frozenset({"Shape", "Size"})
"""What they give of a value may be known before the value is."""


def judge_loop(node: Message, reasons: Reasons) -> None:
    """Judge a node, if it is a loop.

    Reasons: `admission.idle-loop`.
    """
    if node.text("op_type") not in _LOOPS:
        return
    for attribute in node.parts("attribute"):
        body = attribute.part("g")
        if body is not None and not _works(body):
            reasons.add(
                Refusal(
                    "admission.idle-loop",
                    f"a turn of {show_name(node.text('op_type'))} may do nothing",
                    hint="a loop without work cannot be ended; compute its result without one",
                )
            )


def _works(body: Message) -> bool:
    given = {value.text("name") for value in body.parts("input")}
    made: set[str] = set()
    for node in body.parts("node"):
        # What a call of a function does is known after unfolding alone.
        is_own = node.text("domain") in {*bounds.DOMAINS, "ai.onnx"}
        is_foreseeable = node.text("op_type") in _FORESEEABLE
        depends = any(name in given or name in made for name in node.texts("input"))
        if is_own and depends and not is_foreseeable:
            made.update(node.texts("output"))
    return any(value.text("name") in made for value in body.parts("output"))
