"""Lists every error code that the source can raise: `docs/spec/refusals.md`.

Codes are literals, the first argument of a `Refusal`, `Fault`, `Misuse` or of a subclass of one
of them, so they are found by reading the source, not by running it. Run it to write the page
anew; a test fails while the page is behind.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "probatum"
PAGE = ROOT / "docs" / "spec" / "refusals.md"
WELL_FORMED = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*\.[a-z0-9]+(?:-[a-z0-9]+)*")
ROOT_KINDS = ("Fault", "Misuse", "Refusal")

HEAD = """\
# Error codes

Written by `tools/refusals.py` from the source; a test fails while it is behind. A code is stable:
once published it is never reworded and never given another meaning. Messages are for people and
may change.

- **Refusal**: an expected no, deterministic, part of the protocol.
- **Fault**: the world failed (disk, network, process).
- **Misuse**: the calling code broke a contract.
"""


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Raised:
    """One place in the source that raises one code."""

    code: str
    kind: str
    page: str
    line: int
    message: str


def _list_sources() -> list[tuple[Path, ast.Module]]:
    pages = sorted(SOURCE.rglob("*.py"))
    return [(page, ast.parse(page.read_text(encoding="utf-8"))) for page in pages]


def _find_kinds(sources: list[tuple[Path, ast.Module]]) -> dict[str, str]:
    """Map each error class, by name, to the root kind that it derives from."""
    bases = {
        node.name: [base.id for base in node.bases if isinstance(base, ast.Name)]
        for _, tree in sources
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    kinds = {kind: kind for kind in ROOT_KINDS}
    grown = True
    while grown:
        grown = False
        for name, parents in sorted(bases.items()):
            for parent in parents:
                if name not in kinds and parent in kinds:
                    kinds[name] = kinds[parent]
                    grown = True
    return kinds


def _get_text(node: ast.expr | None) -> str:
    """Text of a literal message; what an f-string fills in becomes ``…``."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_get_text(part) or "…" for part in node.values)
    return ""


def _is_code(text: str) -> bool:
    return "." in text and " " not in text


def list_raised() -> list[Raised]:
    """Find every place where an error with a literal code is made."""
    sources = _list_sources()
    kinds = _find_kinds(sources)
    found = []
    for page, tree in sources:
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = node.func
            kind = kinds.get(name.id) if isinstance(name, ast.Name) else None
            if kind is None or not node.args:
                continue
            first = node.args[0]
            options = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
            second = node.args[1] if len(node.args) > 1 else None
            found += [
                Raised(
                    code=_get_text(option),
                    kind=kind,
                    page=page.relative_to(SOURCE).as_posix(),
                    line=node.lineno,
                    message=_get_text(second),
                )
                for option in options
                if isinstance(option, ast.Constant) and _is_code(_get_text(option))
            ]
    return sorted(found)


def list_malformed() -> list[str]:
    """Codes that are not ``area.kebab-case``."""
    return sorted({r.code for r in list_raised() if not WELL_FORMED.fullmatch(r.code)})


def write_page() -> str:
    """Compose the page: one table for each area, one row for each code."""
    areas: dict[str, dict[str, list[Raised]]] = defaultdict(lambda: defaultdict(list))
    for raised in list_raised():
        areas[raised.code.split(".")[0]][raised.code].append(raised)
    parts = [HEAD]
    for area in sorted(areas):
        parts.append(f"\n## {area}\n\n| code | kind | says | raised in |\n|---|---|---|---|\n")
        for code in sorted(areas[area]):
            places = areas[area][code]
            says = next((r.message for r in places if r.message), "").replace("|", "\\|")
            kinds = ", ".join(sorted({r.kind for r in places}))
            pages = ", ".join(f"`{page}`" for page in sorted({r.page for r in places}))
            parts.append(f"| `{code}` | {kinds} | {says} | {pages} |\n")
    return "".join(parts)


def main() -> int:
    """Write the page; exit 1 where a code is malformed."""
    malformed = list_malformed()
    if malformed:
        print("not area.kebab-case:", ", ".join(malformed), file=sys.stderr)
        return 1
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(write_page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
