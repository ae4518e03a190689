"""Has a model checked in a process of its own, and makes a report of whatever comes (`PUB-1`).

Must not know what is checked. Read next: `child`.
"""

from __future__ import annotations

import os
from typing import Final

import msgspec

from probatum.canon.graph.packing import GRAPH_BYTES
from probatum.errors import Fault, Refusal
from probatum.protocol import limits
from probatum.protocol.encoding import decode_document, encode
from probatum.runtime.checking.report import ExactReport, Measurement, Question
from probatum.runtime.sandbox.process import End, Stage, find_violence, run_confined
from probatum.runtime.sandbox.verdict import refuse

__all__ = ["check_exactness", "expand_confined"]

_COMMAND: Final = ("-I", "-B", "-m", "probatum.runtime.checking.child")
_REPORT_BYTES: Final = 256 * limits.KIB
_SECONDS: Final = 300.0
_MEMORY_BASE: Final = 6144 * limits.MIB
_MEMORY_TIMES: Final = 24
"""Address space in sizes of the file: its bytes, the parsed form, the engine's weights, and the
weights canonical, wide and narrowed."""


def check_exactness(question: Question) -> tuple[ExactReport, Measurement | None]:
    """Find out whether a file is admissible to the class `exact`, and measure it if it is.

    Returns:
        The report; and what was measured, None if that was not asked for or the file is refused.

    Raises:
        Fault: `sandbox.broken` if the process could not do its work for a reason of its own.
    """
    return _read(_run(question, _REPORT_BYTES), question)


def _read(end: End, question: Question) -> tuple[ExactReport, Measurement | None]:
    report, rest = _read_report(end)
    if not report.is_admitted or not question.is_measured:
        return report, None
    try:
        line = rest.removesuffix(b"\n")
        return report, decode_document(Measurement, line, limit_bytes=_REPORT_BYTES)
    except Refusal:
        violence = find_violence(end)
        said = violence.message if violence else f"the process ended with status {end.status}"
        return report, Measurement(note=said)


def expand_confined(question: Question) -> tuple[ExactReport, bytes]:
    """Expand a file to its canonical graph; nothing is run.

    Returns:
        The report; and the encoded graph, empty if the file is refused.

    Raises:
        Fault: `sandbox.broken`.
    """
    asked = msgspec.structs.replace(question, is_measured=False, is_graph_wanted=True)
    end = _run(asked, _REPORT_BYTES + GRAPH_BYTES)
    report, graph = _read_report(end)
    violence = find_violence(end)
    if report.is_admitted and violence is not None:
        return ExactReport(reasons=refuse((violence,))), b""
    return report, graph


def _run(question: Question, limit_bytes: int) -> End:
    allowed = {
        "memory_bytes": _MEMORY_BASE + _MEMORY_TIMES * len(question.model),
        "cpu_seconds": int(_SECONDS),
        "parent": os.getpid(),
    }
    descriptor = os.memfd_create("question")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(encode(question))
        return run_confined(
            (*_COMMAND, msgspec.json.encode(allowed).decode()),
            descriptor,
            (Stage(name=b"", doing="checking it for the class exact", seconds=_SECONDS),),
            limit_bytes=limit_bytes,
        )
    finally:
        os.close(descriptor)


def _read_report(end: End) -> tuple[ExactReport, bytes]:
    first, _, rest = end.said.partition(b"\n")
    violence = find_violence(end)
    try:
        return decode_document(ExactReport, first, limit_bytes=_REPORT_BYTES), rest
    except Refusal as refusal:
        if violence is not None:
            return ExactReport(reasons=refuse((violence,))), b""
        raise Fault(
            "sandbox.broken",
            f"the checking process gave no report (exit status {end.status}; {refusal.code})",
            hint="can this Python import probatum by itself?",
            retryable=False,
        ) from None
