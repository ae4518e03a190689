"""What runs in the checking process: ``python -m probatum.runtime.checking.child LIMITS``.

The question is standard input. On standard output go the report and, on a second line, what was
measured. The file is a stranger's, so rights are taken away before it is read: `sandbox.confine`.
"""

from __future__ import annotations

import os
import sys

import msgspec

from probatum.canon.evaluate.blas import limit_blas
from probatum.canon.graph.packing import encode_graph
from probatum.errors import ProbatumError
from probatum.protocol.encoding import Document, encode_document
from probatum.runtime.checking.admitting import admit_model
from probatum.runtime.checking.measuring import measure_model
from probatum.runtime.checking.report import Measurement, Question
from probatum.runtime.sandbox.confine import close_doors, limit_resources

__all__ = ["Limits", "main"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the process may use; `parent` is the process id of who waits."""

    memory_bytes: int
    cpu_seconds: int
    parent: int


def main(arguments: list[str]) -> int:
    """Answer the question on standard input."""
    limits = msgspec.json.decode(arguments[0], type=Limits)
    limit_resources(
        memory_bytes=limits.memory_bytes, cpu_seconds=limits.cpu_seconds, parent=limits.parent
    )
    with limit_blas(1):
        # Its library is looked for once, while files can still be opened.
        close_doors()
    with os.fdopen(0, "rb") as file:
        question = msgspec.msgpack.decode(file.read(), type=Question)
    report, expanded = admit_model(question)
    _say(report)
    if expanded is not None and question.is_graph_wanted:
        sys.stdout.buffer.write(encode_graph(expanded.graph))
        sys.stdout.buffer.flush()
    if expanded is not None and question.is_measured:
        try:
            _say(measure_model(question, expanded))
        except ProbatumError as error:
            _say(Measurement(note=f"{error.code}: {error.message}"[:500]))
        except MemoryError:
            _say(Measurement(note="it takes more memory than this command allows"))
    return 0


def _say(document: Document) -> None:
    sys.stdout.buffer.write(encode_document(document) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
