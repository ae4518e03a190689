"""Log lines: one JSON object a line on standard error, from parties and libraries alike.

Must not know who reads them.
"""

from __future__ import annotations

import logging
import sys
import time

import msgspec

from probatum.machine.wishes import Report

__all__ = ["write_report", "write_through"]

_MESSAGE_CHARS = 4_000


def write_report(report: Report) -> None:
    """Write a party's report as one line."""
    line = {
        "time": round(time.time(), 3),
        "level": report.level,
        "code": report.code,
        "message": report.message[:_MESSAGE_CHARS],
        **{name: value[:_MESSAGE_CHARS] for name, value in report.fields},
    }
    sys.stderr.write(msgspec.json.encode(line).decode() + "\n")
    sys.stderr.flush()


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if record.exc_info:
            formatter = logging.Formatter()
            message += "\n" + formatter.formatException(record.exc_info)
        write_report(Report(record.levelname.lower(), f"log.{record.name}", message))


def write_through(level: int = logging.ERROR) -> None:
    """Have what libraries log at a level or above written as lines too."""
    logging.basicConfig(level=level, handlers=[_Handler()], force=True)
