"""Builds CometBFT, the engine of a ledger with several validators, once into `.cache`.

`make cometbft` runs it; `make test` does with ``--optional``, since tests that need the engine are
skipped by name without it. It needs Go and what Go fetches modules through (`go env GOPROXY`); the
checksum database that Go is set up with holds what comes to what everybody else got. Does nothing
where a fitting CometBFT is found already; says what is missing otherwise.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from probatum.errors import ProbatumError, Refusal
from probatum.ops.cometbft import BUILT, VARIABLE, VERSION, find_cometbft, read_version

ROOT = Path(__file__).resolve().parent.parent
MODULE = "github.com/cometbft/cometbft/cmd/cometbft"
LEAST_GO = (1, 22, 11)
BUILD_S = 1_800.0
OPTIONAL_BUILD_S = 480.0
"""Tests can do without it, and must not wait for a module proxy that says nothing."""
SPOKEN = ".".join(map(str, LEAST_GO))
GO_HINT = f"install Go >= {SPOKEN} and have it on the PATH, or name a built one in {VARIABLE}"


def read_go_version(go: str) -> tuple[int, ...] | None:
    """Read Go's version, ``go1.22.11`` as numbers; None if it says nothing of the kind."""
    # Its own, not the one that it would fetch: GOTOOLCHAIN=local.
    said = _run([go, "env", "GOVERSION"])
    found = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", said.stdout.strip())
    return None if found is None else tuple(int(part or 0) for part in found.groups())


def check_go() -> str:
    """Return the path of a Go that is new enough.

    Raises:
        Refusal: `go.missing`, `go.too-old`.
    """
    go = shutil.which("go")
    if go is None:
        raise Refusal("go.missing", "CometBFT is built with Go, and there is none", hint=GO_HINT)
    found = read_go_version(go)
    if found is None or found < LEAST_GO:
        shown = "of an unknown version" if found is None else ".".join(map(str, found))
        raise Refusal("go.too-old", f"{go} is {shown}; CometBFT needs {SPOKEN}", hint=GO_HINT)
    return go


def build(go: str, target: Path, limit_s: float = BUILD_S) -> None:
    """Build it and put it in its place, all or nothing.

    Raises:
        Refusal: `go.failed` with the last lines that Go said, or if it took longer than `limit_s`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=target.parent) as fresh:
        command = [go, "install", "-trimpath", "-ldflags", "-s -w", f"{MODULE}@v{VERSION}"]
        try:
            done = _run(command, limit_s, GOBIN=fresh, CGO_ENABLED="0")
        except subprocess.TimeoutExpired:
            raise Refusal(
                "go.failed",
                f"Go had not built CometBFT after {limit_s:.0f} s",
                hint="go env GOPROXY says where it fetches from; the same command goes on",
            ) from None
        made = Path(fresh) / "cometbft"
        if done.returncode != 0 or not made.exists():
            words = "\n".join(done.stderr.splitlines()[-8:])
            raise Refusal(
                "go.failed",
                f"Go could not build CometBFT:\n{words}",
                hint="go env GOPROXY says where it fetches from; the same command goes on",
            )
        found = read_version(made)
        if found != VERSION:
            raise Refusal("go.failed", f"what Go built is version {found:.40}, not {VERSION}")
        made.replace(target)


def _run(
    command: list[str], limit_s: float = BUILD_S, **settings: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env={**os.environ, "GOTOOLCHAIN": "local", **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )


def main(arguments: list[str] | None = None) -> int:
    """Find it or build it; return the exit code: with ``--optional`` it is 0 in any case."""
    optional = "--optional" in (sys.argv[1:] if arguments is None else arguments)
    target = ROOT / BUILT
    try:
        try:
            found = find_cometbft(built=target)
        except ProbatumError as error:
            if os.environ.get(VARIABLE):
                raise  # what somebody named is never replaced behind their back
            if error.code == "cometbft.other-version":
                print(f"{error.message}; building our own", file=sys.stderr)
            go = check_go()
            print(f"Building CometBFT {VERSION} with Go (once; two to five minutes)", flush=True)
            build(go, target, OPTIONAL_BUILD_S if optional else BUILD_S)
            found = find_cometbft(built=target)
    except ProbatumError as error:
        print(f"{error.message}\n  {error.hint}", file=sys.stderr)
        if optional:
            print("  (tests that need it are skipped)", file=sys.stderr)
        return 0 if optional else 1
    print(f"CometBFT {VERSION}: {found}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
