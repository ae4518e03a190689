"""Has a model checked in a process of its own, and makes a report of whatever comes (`PUB-1`).

Must not know what is checked. Read next: `child`.
"""

from __future__ import annotations

import os
from typing import Final

import msgspec

from probatum.errors import Fault, Refusal
from probatum.protocol import limits
from probatum.protocol.encoding import decode_document, encode
from probatum.runtime.checking.report import ExactReport, Measurement, Question
from probatum.runtime.sandbox.process import End, Stage, find_violence, run_confined
from probatum.runtime.sandbox.verdict import refuse

__all__ = ["check_exactness"]

_MODULE: Final = "probatum.runtime.checking.child"
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
    allowed = {
        "memory_bytes": _MEMORY_BASE + _MEMORY_TIMES * len(question.model),
        "cpu_seconds": int(_SECONDS),
        "parent": os.getpid(),
    }
    descriptor = os.memfd_create("question")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(encode(question))
        end = run_confined(
            _MODULE,
            (msgspec.json.encode(allowed).decode(),),
            descriptor,
            (Stage(name=b"", doing="checking it for the class exact", seconds=_SECONDS),),
            limit_bytes=_REPORT_BYTES,
        )
    finally:
        os.close(descriptor)
    return _read(end, question)


def _read(end: End, question: Question) -> tuple[ExactReport, Measurement | None]:
    first, _, rest = end.said.partition(b"\n")
    violence = find_violence(end)
    try:
        report = decode_document(ExactReport, first, limit_bytes=_REPORT_BYTES)
    except Refusal as refusal:
        if violence is not None:
            return ExactReport(reasons=refuse((violence,))), None
        raise Fault(
            "sandbox.broken",
            f"the checking process gave no report (exit status {end.status}; {refusal.code})",
            hint="can this Python import probatum by itself?",
            retryable=False,
        ) from None
    if not report.is_admitted or not question.is_measured:
        return report, None
    try:
        line = rest.removesuffix(b"\n")
        return report, decode_document(Measurement, line, limit_bytes=_REPORT_BYTES)
    except Refusal:
        said = violence.message if violence else f"the process ended with status {end.status}"
        return report, Measurement(note=said)
