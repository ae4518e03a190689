"""The third table of errors: from what went wrong to an exit code and what is printed.

HTTP status and ABCI code have theirs at their edges. A refusal is an answer, so programs find it
on standard output as JSON; people find it on standard error, with what to do. Must not know
commands.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Final

from probatum.cli.output import note, print_json
from probatum.errors import Fault, Misuse, ProbatumError

__all__ = [
    "BUG",
    "FAULT",
    "INTERRUPTED",
    "OK",
    "REFUSED",
    "USAGE",
    "WARNED",
    "explain_system",
    "report_bug",
    "report_error",
    "run_process",
]

OK: Final = 0
REFUSED: Final = 1
USAGE: Final = 2
FAULT: Final = 3
WARNED: Final = 4
"""It works, but somebody should look."""
BUG: Final = 70
"""EX_SOFTWARE of `sysexits`."""
_PROCESS: Final = {REFUSED: 64, FAULT: 69}
"""What service managers are told of a process that did not start (docs/operating): as
`probatum.nodes.shell.process` ends where it has begun."""
INTERRUPTED: Final = 130
"""What a shell reports of a process that SIGINT ended."""
_NEVER_TAKEN: Final = ("transport.bad-address", "transport.unreachable", "schema.")
"""Refusals by which a request reached nobody who could have accepted it."""


def report_error(error: ProbatumError, *, as_json: bool, debug: bool) -> int:
    """Print an expected error and return its exit code."""
    retryable = isinstance(error, Fault) and error.retryable and not _is_about_a_file(error)
    code = _get_exit_code(error)
    # Errors of a request carry its id (`probatum.client.failures`), which finds its records.
    request_id = getattr(error, "request_id", None)
    if as_json:
        _print_document(
            error.code, error.message, error.hint, retryable=retryable, request_id=request_id
        )
    else:
        kind = {REFUSED: "refused", FAULT: "fault", BUG: "bug"}[code]
        note(f"{kind}: {error.message} [{error.code}]")
        if error.hint:
            note(f"  hint: {error.hint}")
        if request_id is not None and not error.code.startswith(_NEVER_TAKEN):
            note(f"  If anybody accepted it, `probatum blame {request_id}` says who held it.")
        if retryable:
            note("  Nothing is wrong with what you asked; try again.")
        if code == BUG:
            note("  This is a mistake in Probatum; please report it, with --debug.")
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    return code


def run_process(run: Callable[[], int], *, as_json: bool, debug: bool) -> int:
    """Run what a service manager keeps up; return what its unit file tells apart."""
    try:
        return run()
    except ProbatumError as error:
        code = report_error(error, as_json=as_json, debug=debug)
        return _PROCESS.get(code, code)


def explain_system(error: OSError) -> Fault:
    """Make a fault of what the system said no to, where no page saw it coming."""
    where = "standard output" if error.filename is None else str(error.filename)
    return Fault(
        "cli.system",
        f"{where}: {error.strerror or type(error).__name__}",
        hint="see that the folder is there, has room, and may be written by who runs this",
        retryable=False,
    )


def report_usage(message: str, *, as_json: bool) -> int:
    """Print why a command line was not understood."""
    if as_json:
        _print_document("usage.not-understood", message, "probatum --help", retryable=False)
    else:
        note(f"not understood: {message}")
        note("  hint: add --help to any command")
    return USAGE


def report_bug(error: Exception, *, as_json: bool, debug: bool) -> int:
    """Print that something went wrong that nobody foresaw."""
    message = f"{type(error).__name__}: {error}"
    if as_json:
        _print_document("cli.bug", message, "please report this, with --debug", retryable=False)
    else:
        note(f"bug: {message}")
        note("  hint: run it again with --debug and report what it prints; no key is in it")
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    return BUG


def _get_exit_code(error: ProbatumError) -> int:
    if isinstance(error, Fault):
        return FAULT
    return BUG if isinstance(error, Misuse) else REFUSED


def _is_about_a_file(error: Exception) -> bool:
    """Whether a file or folder of this machine is the matter: asked again, it says no again.

    Pages raise their fault ``from None`` while they handle the system's error: it hides the
    traceback, and leaves the error here.
    """
    cause = error.__context__
    return isinstance(cause, OSError) and cause.filename is not None


def _print_document(
    code: str, message: str, hint: str, *, retryable: bool, request_id: str | None = None
) -> None:
    document: dict[str, object] = {
        "code": code,
        "message": message,
        "hint": hint,
        "retryable": retryable,
    }
    if request_id is not None:
        document["request_id"] = request_id
    print_json({"error": document})
