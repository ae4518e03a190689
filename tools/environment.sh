#!/usr/bin/env bash
# Makes the environment that a target needs, once: `tools/environment.sh run` or `... test`.
#
# Stamps inside the environment carry the digest of the lock file and of the environment's path,
# so a second run does nothing, a changed lock installs again, and a moved folder is made anew.
# VENV names the folder (default .venv). Safe to interrupt: a stamp is written last.
set -euo pipefail
# Documents are tested in a folder that borrows this environment and must not change it.
[ "${PROBATUM_ENVIRONMENT:-}" = ready ] && exit 0
cd "$(dirname "$0")/.."

kind=${1:?run or test}
venv=${VENV:-.venv}
lock=requirements/$kind.txt
need_kb=$((2 * 1024 * 1024))

fail() {
    printf '\n%s\n' "$1" >&2
    shift
    printf '  %s\n' "$@" >&2
    exit 1
}

digest() { sha256sum | cut -c1-16; }

mkdir -p "$venv"
where=$(cd "$venv" && pwd -P)
locked=$where/.stamp-$kind-$({ cat "$lock"; echo "$where"; } | digest)
# A compiler that appears later builds the kernels then; without one its absence is no reason to link again.
compiler=$(command -v "${CC:-cc}" || command -v gcc || command -v clang || true)${PROBATUM_NO_KERNEL:-}
linked=$where/.stamp-linked-$({
    cat pyproject.toml hatch_build.py src/probatum/{canon/evaluate,runtime/text}/kernel/*.[ch]
    cat src/probatum/__init__.py
    pwd -P
    echo "$where" "$compiler"
} | digest)
# The test lock holds everything of the run lock, so whoever has it needs no other.
superset=$where/.stamp-test-$({ cat requirements/test.txt; echo "$where"; } | digest)
[ "$kind" = run ] && [ -e "$superset" ] && locked=$superset
[ -e "$locked" ] && [ -e "$linked" ] && [ -x "$where/bin/python" ] && exit 0

# Two makes at once take turns.
if command -v flock >/dev/null; then
    exec 9>"$where/.lock"
    flock 9
fi

if ! "$where/bin/python" -m pip --version >/dev/null 2>&1 || [ ! -f "$where/pyvenv.cfg" ]; then
    python=$(tools/find-python.sh)
    free_kb=$(df -Pk "$where" | awk 'NR == 2 { print $4 }')
    [ "$free_kb" -ge "$need_kb" ] ||
        fail "Probatum's environment needs about 2 GB of disk; $((free_kb / 1024)) MB are free at $venv." \
            "Free some space, or put it elsewhere: make VENV=/path/with/space ..."
    echo "Making $venv with $("$python" --version)"
    "$python" -m venv "$where" || fail "Could not make the environment $venv." \
        "Debian and Ubuntu: apt-get install python3-venv"
fi

if [ ! -e "$locked" ]; then
    echo "Installing what $lock names (once; a few minutes at most)"
    "$where/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
        --require-hashes -r "$lock" ||
        fail "The packages that $lock names could not be installed." \
            "They come from the Python package index that pip is set up to use (pip config list)." \
            "With a mirror:  PIP_INDEX_URL=<address of the mirror> make ..." \
            "Offline:        PIP_NO_INDEX=1 PIP_FIND_LINKS=<folder of wheels> make ..." \
            "Run the same command again to go on from here."
    rm -f "$where/.stamp-$kind-"*
    touch "$locked"
fi

if [ ! -e "$linked" ]; then
    "$where/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
        --no-deps --no-build-isolation --no-index --editable . ||
        fail "Probatum itself could not be linked into $venv." "The lines above say why."
    rm -f "$where/.stamp-linked-"*
    touch "$linked"
fi
