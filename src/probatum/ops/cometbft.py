"""Where the engine CometBFT is on this machine, and whether it is the version that was tested.

It is another project's program (Go), found and never fetched here: a named path, else
``PROBATUM_COMETBFT``, else ``cometbft`` on the PATH, else what `make cometbft` built. Must not
know how it is configured or run. Read next: `tools/cometbft.py`, which builds it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from probatum.errors import Fault, Refusal

__all__ = ["BUILT", "VARIABLE", "VERSION", "find_cometbft", "read_version"]

VERSION: Final = "0.38.25"
"""The one version that this release is tested with; all validators of a network run it."""
VARIABLE: Final = "PROBATUM_COMETBFT"
BUILT: Final = Path(".cache/cometbft") / f"v{VERSION}" / "cometbft"
"""Where `make cometbft` puts it, seen from the repository's root."""
_HINT: Final = f"make cometbft builds {VERSION}; or name its path in {VARIABLE}"
_WAIT_S: Final = 20.0
_VERSION_BYTES: Final = 200


def find_cometbft(named: Path | None = None, built: Path = BUILT) -> Path:
    """Find CometBFT and make sure of its version.

    One that was named, or that the environment names, is used or refused; one that merely happens
    to be on the PATH is passed over if it is of another version.

    Args:
        named: A path from a configuration.
        built: Where a built one would lie.

    Returns:
        The program's absolute path.

    Raises:
        Refusal: `cometbft.missing`; `cometbft.other-version`.
        Fault: `cometbft.not-running` if it does not say its version.
    """
    told = named or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if told is not None:
        # As shells do: of a user whom nobody knows here, ``~user`` is a name as any other.
        path = _find_program(os.path.expanduser(told))  # noqa: PTH111
        if path is None:
            raise Refusal("cometbft.missing", f"there is no program at {told}", hint=_HINT)
        _check_version(path)
        return path
    other = ""
    for place in ("cometbft", str(built)):
        path = _find_program(place)
        if path is None:
            continue
        found = read_version(path)
        if found == VERSION:
            return path
        other = f"{path} is version {found:.40}, not {VERSION}"
    if other:
        raise Refusal("cometbft.other-version", other, hint=_HINT)
    raise Refusal("cometbft.missing", "CometBFT is not on this machine", hint=_HINT)


def read_version(program: Path) -> str:
    """Ask a program for CometBFT's version.

    Raises:
        Fault: `cometbft.not-running`.
    """
    try:
        done = subprocess.run(  # noqa: S603 - the program that somebody named or built
            [program, "version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_WAIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _not_running(program, str(error)) from None
    if done.returncode != 0:
        raise _not_running(program, f"exit code {done.returncode}")
    said = done.stdout[:_VERSION_BYTES].decode("ascii", "replace").split()
    return said[-1].removeprefix("v") if said else "unknown"


def _find_program(place: str) -> Path | None:
    found = shutil.which(place)
    return None if found is None else Path(found).absolute()


def _check_version(path: Path) -> None:
    found = read_version(path)
    if found != VERSION:
        raise Refusal(
            "cometbft.other-version",
            f"{path} is version {found:.40}, not {VERSION}",
            hint=_HINT,
        )


def _not_running(program: Path, why: str) -> Fault:
    return Fault("cometbft.not-running", f"{program} does not say its version: {why}", hint=_HINT)
