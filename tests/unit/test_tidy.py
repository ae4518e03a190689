"""The house rules that no linter knows: sizes, names, rooms, documented codes, cited clauses."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "probatum"
ROOMS = frozenset(
    "errors protocol machine canon economics evidence ledger consensus hub runtime client nodes "
    "ops explorer storm cli".split()
)
FORBIDDEN_NAMES = frozenset("util utils helper helpers common manager managers misc shared".split())
LAYOUT = frozenset(
    {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
)
GO_FILES = frozenset({"go.mod", "go.sum"})
# What other people's standards look like is no clause of ours.
CLAUSE = re.compile(r"\b(?!(?:BLAKE|EIP|FIPS|ISO|PEP|RFC|SHA|UTF)-)([A-Z]{3,}-\d+)\b")


def list_pages(*folders: str) -> list[Path]:
    return sorted(page for folder in folders for page in (ROOT / folder).rglob("*.py"))


def has_docstring(node: ast.AST) -> bool:
    body = getattr(node, "body", None) or [None]
    first = body[0] if isinstance(body, list) else None
    return (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )


@cache
def count_code_lines(text: str) -> frozenset[int]:
    """Line numbers that hold code: no blank lines, comments or docstrings."""
    documented: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if has_docstring(node):
            documented.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    return frozenset(lines - documented)


@cache
def list_tracked() -> tuple[str, ...]:
    """Files that git knows or would know (new ones included), as it writes their paths."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return tuple(sorted(set(listed.stdout.decode().split("\0")) - {""}))


def test_counting_lines_leaves_out_blank_lines_comments_and_docstrings():
    text = '"""Doc."""\n\n# why\nx = (\n    1,\n)\n\n\ndef f():\n'
    text += '    """Doc\n    more.\n    """\n    return x\n'
    assert count_code_lines(text) == {4, 5, 6, 9, 13}


@pytest.mark.parametrize(("folder", "limit"), [("src", 300), ("tests", 600), ("tools", 300)])
def test_no_page_is_too_long(folder, limit):
    sizes = {
        str(page.relative_to(ROOT)): len(count_code_lines(page.read_text()))
        for page in list_pages(folder)
    }
    assert {page: size for page, size in sizes.items() if size > limit} == {}


def test_no_function_is_too_long():
    long = {}
    for page in list_pages("src", "tools", "models"):
        text = page.read_text()
        lines = count_code_lines(text)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = len(lines & set(range(node.lineno, node.end_lineno + 1)))
                if size > 60:
                    long[f"{page.relative_to(ROOT)}:{node.lineno} {node.name}"] = size
    assert long == {}


def test_no_page_is_named_for_nothing():
    pages = list_pages("src", "tests", "tools")
    named = {
        str(page.relative_to(ROOT))
        for page in pages
        if FORBIDDEN_NAMES & {part.removesuffix(".py") for part in page.relative_to(ROOT).parts}
        or set(page.stem.split("_")) & FORBIDDEN_NAMES
    }
    assert named == set()


def test_every_page_says_what_it_holds():
    silent = [
        str(page.relative_to(ROOT))
        for page in list_pages("src", "tools", "models")
        if not has_docstring(ast.parse(page.read_text()))
        # Importing a role's package must bring nothing along; its files speak for themselves.
        and (page.name != "__init__.py" or page.read_text().strip() != "")
    ]
    assert silent == []


def test_there_are_no_rooms_but_the_planned_ones():
    found = {
        entry.stem
        for entry in SOURCE.iterdir()
        if entry.name not in {"__init__.py", "__main__.py", "py.typed", "__pycache__"}
    }
    assert found <= ROOMS
    empty = {room for room in found if not any((SOURCE / room).rglob("*.py"))}
    assert empty == set(), "a room stands only when something is in it"


def test_packages_of_roles_are_empty():
    full = [
        str(page.relative_to(ROOT))
        for page in (SOURCE / "nodes").glob("*/__init__.py")
        if len(count_code_lines(page.read_text())) > 0
    ]
    assert full == [], "storm imports a role's machine without its web server"


def test_nothing_is_left_for_later_without_an_issue():
    word = re.compile(r"#.*\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b(?!\(#?\d+\))")
    left = [
        f"{page.relative_to(ROOT)}:{number}"
        for page in list_pages("src", "tests", "tools", "models")
        for number, line in enumerate(page.read_text().splitlines(), 1)
        if word.search(line)
    ]
    assert left == []


def test_no_file_names_a_registry_or_a_machine():
    # Written so that this page does not match itself.
    pattern = re.compile(
        r"(?:pyp[i]|python[h]osted|npm[j]s|gol[a]ng|crates|m[a]ven|debi[a]n)[.](?:org|io)(?:[:/]|$)"
        r"|(?:^|[^A-Za-z0-9_.])/(?:wo[r]k|fa[r]m|ro[o]t)/",
        re.MULTILINE,
    )
    named = []
    for name in list_tracked():
        path = ROOT / name
        # A Go import *is* an address: that language has no other names.
        if path.is_symlink() or not path.is_file() or path.name in GO_FILES or path.suffix == ".go":
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        named += [f"{name}: {match.group()!r}" for match in pattern.finditer(text)]
    assert named == []


def test_nothing_heavy_or_foreign_is_committed():
    large = [
        name
        for name in list_tracked()
        if (ROOT / name).is_file() and (ROOT / name).stat().st_size > 1_000_000
    ]
    assert large == []
    assert [n for n in list_tracked() if n.endswith((".onnx", ".safetensors", ".gguf"))] == []


def test_refusal_codes_are_documented():
    from tools import refusals

    written = ROOT / "docs" / "spec" / "refusals.md"
    assert written.read_text(encoding="utf-8") == refusals.write_page(), (
        "docs/spec/refusals.md is not up to date; .venv/bin/python tools/refusals.py writes it"
    )


def test_refusal_codes_are_well_formed():
    from tools import refusals

    assert refusals.list_malformed() == []


def list_clauses() -> dict[str, str]:
    """Clause ids that the specification's headings introduce, with the page that does."""
    clauses = {}
    for page in sorted((ROOT / "docs" / "spec").rglob("*.md")):
        for line in page.read_text(encoding="utf-8").splitlines():
            if line.startswith("#"):
                clauses.update(dict.fromkeys(CLAUSE.findall(line), page.name))
    return clauses


def test_every_clause_is_named_in_code_and_in_a_test():
    code = "\n".join(page.read_text() for page in list_pages("src"))
    tests = "\n".join(page.read_text() for page in list_pages("tests"))
    clauses = list_clauses()
    in_code, in_tests = set(CLAUSE.findall(code)), set(CLAUSE.findall(tests))
    assert {c: p for c, p in clauses.items() if c not in in_code} == {}, "not named in code"
    assert {c: p for c, p in clauses.items() if c not in in_tests} == {}, "not named in a test"
