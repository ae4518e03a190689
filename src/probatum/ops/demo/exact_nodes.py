"""Asks each node of the network, by name, what the contract of the exact act pays.

The same question thrice: in class exact, and in class float alone and among eight. Must not know
how the question was chosen. Read next: `exact_acts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from probatum.client.arrays import to_tensors
from probatum.client.client import Answer
from probatum.evidence.receipt import check_outputs
from probatum.ops.demo import volatility
from probatum.ops.demo.stage import Stage
from probatum.protocol.parties import ArithmeticClass
from probatum.protocol.primitives import make_salt

__all__ = ["BATCH", "ask_each_node"]

BATCH: Final = 8
_OUTPUT: Final = "volatility"
_TIMEOUT_S: Final = 30.0

Windows: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What one node said about one evening: an answer of class exact, and forecasts."""

    node: str
    answer: Answer
    exact: np.float32
    alone: np.float32
    among: np.float32


def ask_each_node(stage: Stage, windows: Windows, place: int, threshold: float) -> np.float32:
    """Show that nodes of class exact decide alike about one evening, and what floats do.

    Args:
        stage: With a network that hosts the model.
        windows: All evenings, a multiple of `BATCH`.
        place: Which one the contract is about.
        threshold: Above it the contract pays.

    Returns:
        The forecast that every node gave in class exact.

    Raises:
        Fault: `demo.promise-broken` if nodes of class exact differ.
    """
    teller = stage.teller
    said = [_ask(stage, node, windows, place) for node in stage.network.node_names]

    def show(value: np.float32) -> tuple[str, str]:
        return f"{value:.7f}", "yes" if float(value) > threshold else "no"

    rows = [(one.node, *show(one.exact), *show(one.alone), *show(one.among)) for one in said]
    columns = ("node", "exact", "pays", "float, alone", "pays", f"float, {BATCH} at once", "pays")
    teller.table(columns, rows)
    teller.promise(len({row[2] for row in rows}) == 1, "nodes of class exact decide alike")
    first = said[0]
    teller.promise(
        {one.exact.tobytes() for one in said} == {first.exact.tobytes()},
        "nodes of class exact give the same bits",
    )
    outputs = to_tensors(first.answer.outputs)
    for one in said:
        # Each salt is its request's own, so roots of the same bits differ; what they open to does
        # not. A receipt that did not hold with the first node's answer would be refused here.
        check_outputs(one.answer.receipt, make_salt(one.answer.salt), outputs)
    teller.line(f"{len(said)} receipts, {len(said)} signatures, one answer: each root opens to the")
    teller.line(f"bits that {first.node} gave.")
    if len({pays for row in rows for pays in (row[4], row[6])}) > 1:
        teller.line("In class float the same node pays or not, by what is asked along with it.")
    else:
        teller.line("In class float they agree, on this processor; nothing says that they must.")
    teller.figure("three nodes, class exact", "equal bits, one decision")
    return first.exact


def _ask(stage: Stage, node: str, windows: Windows, place: int) -> _Said:
    def ask(rows: Windows, arithmetic: ArithmeticClass) -> Answer:
        return stage.client.ask(
            volatility.NAME,
            {"prices": rows},
            timeout_s=_TIMEOUT_S,
            arithmetic=arithmetic,
            node=stage.network.get_operator(node),
        )

    one, start = windows[place : place + 1], place - place % BATCH
    answer = ask(one, "exact")
    alone = ask(one, "float")
    among = ask(windows[start : start + BATCH], "float")
    return _Said(
        node=node,
        answer=answer,
        exact=answer.outputs[_OUTPUT][0, 0],
        alone=alone.outputs[_OUTPUT][0, 0],
        among=among.outputs[_OUTPUT][place - start, 0],
    )
