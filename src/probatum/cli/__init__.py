"""The command `probatum`: one thin module per noun, over rooms that do the work.

Nothing heavy is imported here: each command's page is imported when that command is run. Must
not decide anything; what a command does is done by the room below that it calls. Read next:
`app` (the table of commands), `failures` (errors to exit codes).
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main(words: list[str] | None = None) -> int:
    """Run one command line.

    Args:
        words: The words after the program's name; those of this process if absent.

    Returns:
        The exit code: 0 done, 1 refused, 2 not understood, 3 fault, 70 bug, 130 interrupted.
    """
    try:
        from probatum.cli.app import run  # noqa: PLC0415 - so that importing the room costs nothing
    except KeyboardInterrupt:
        # Ctrl-C while the program is still being read: `run` takes every later one.
        return 130
    return run(sys.argv[1:] if words is None else words)
