#!/usr/bin/env bash
# Prints the first Python that can carry Probatum (>= 3.11, able to make environments).
# PYTHON in the environment goes first. Says what is missing, and exits 1, where there is none.
set -u

seen=""
for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14; do
    version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        if "$candidate" -c 'import venv, ensurepip' 2>/dev/null; then
            command -v "$candidate"
            exit 0
        fi
        seen="$seen $candidate ($version, but without venv/ensurepip)"
    else
        seen="$seen $candidate ($version, too old)"
    fi
done

{
    echo "Probatum needs Python 3.11 or later with the venv module; found:${seen:- no python3 at all}."
    echo "  Debian and Ubuntu: apt-get install python3 python3-venv"
    echo "  Another Python:    make PYTHON=/path/to/python3.12 ..."
} >&2
exit 1
