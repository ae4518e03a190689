"""Every command in the documents is run; a document that lies fails the build."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from probatum.errors import ProbatumError
from probatum.ops.cometbft import BUILT, find_cometbft
from tests.docs import console

ROOT = Path(__file__).resolve().parents[2]
VENV_BIN = Path(sys.executable).parent
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "models").glob("*.md")]
)
NEED_COMETBFT = {"docs/operating/validators.md"}
"""Documents whose commands start CometBFT: skipped by name where there is none."""
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]


@pytest.mark.e2e
@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_what_a_document_tells_its_reader_to_type_works(path, tmp_path):
    if str(path.relative_to(ROOT)) in NEED_COMETBFT:
        try:
            find_cometbft(built=ROOT / BUILT)
        except ProbatumError as error:
            pytest.skip(f"{path.name}: {error.message} ({error.hint})")
    assert console.run_document(path, ROOT, tmp_path, VENV_BIN) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_only_what_cannot_be_run_here_is_exempt(path):
    blocks = console.list_blocks(path.read_text(encoding="utf-8"))
    commands = [
        c for b in blocks if b.language == "console" and b.not_run for c in b.list_commands()
    ]
    assert [c.text for c in commands if not console.is_exempt(c)] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_no_command_hides_in_a_block_that_is_not_run(path):
    """Shell text stands in ``console`` blocks, with ``$`` before each command."""
    blocks = console.list_blocks(path.read_text(encoding="utf-8"))
    assert [b.line for b in blocks if b.language in console.SHELLS] == []
    bare = [
        b.line for b in blocks if b.language != "console" and any(x[:2] == "$ " for x in b.lines)
    ]
    assert bare == []
    assert [b.line for b in blocks if b.language == "console" and not b.list_commands()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_links_inside_the_repository_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    targets = console.LINK.findall(text)
    local = [
        t.split("#")[0] for t in targets if "://" not in t and not t.startswith(("#", "mailto:"))
    ]
    assert [t for t in local if not (path.parent / t).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_links_to_a_part_of_a_page_lead_there(path):
    """Anchors are made of headings as code hosts make them: lower case, dashes for blanks."""
    for target in console.LINK.findall(path.read_text(encoding="utf-8")):
        name, _, part = target.partition("#")
        if "://" in target or not part:
            continue
        other = path.parent / name if name else path
        heads = re.findall(r"^#+ (.+)$", other.read_text(encoding="utf-8"), re.MULTILINE)
        slugs = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
        assert part in slugs, target


@pytest.mark.parametrize(
    ("index", "folder"),
    [
        ("README.md", "docs/howto"),
        ("README.md", "docs/explanation"),
        ("docs/operating/README.md", "docs/operating"),
        ("docs/spec/README.md", "docs/spec"),
        ("docs/adr/README.md", "docs/adr"),
    ],
)
def test_every_page_is_linked_from_where_readers_begin(index, folder):
    text = (ROOT / index).read_text(encoding="utf-8")
    linked = {(ROOT / index).parent / t.split("#")[0] for t in console.LINK.findall(text)}
    pages = {page for page in (ROOT / folder).glob("*.md") if page.name != "README.md"}
    assert sorted(page.name for page in pages - linked) == []


SAMPLE = """\
Text.

```console
$ greeting=hello
$ echo $greeting world; echo second; \\
    echo third
hello …
third
```

<!-- not run: takes minutes -->

```console
$ make test
```

```text
not a command
```

```console
$ touch made-here && ls Makefile made-here
$ echo $greeting
hello
```
"""


def run_sample(tmp_path, text):
    path = tmp_path / "SAMPLE.md"
    path.write_text(text)
    return console.run_document(path, ROOT, tmp_path, VENV_BIN)


def test_a_true_document_passes_and_its_shell_lasts_from_block_to_block(tmp_path):
    assert run_sample(tmp_path, SAMPLE) == []
    assert not (ROOT / "made-here").exists()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```console\n$ false\n```\n", "exit status 1"),
        ("```console\n$ echo one\ntwo\n```\n", "does not print: two"),
        ("```console\n$ printf 'b\\na\\n'\na\nb\n```\n", "does not print: b"),
        ("```console\n$ exit 0\n```\n", "the shell ended"),
        ("```console\n$ no-such-command\n```\n", "exit status 127"),
    ],
)
def test_a_document_that_lies_is_caught(tmp_path, text, complaint):
    (found,) = run_sample(tmp_path, text)
    assert complaint in found


def test_a_command_that_hangs_is_caught_and_ended(tmp_path):
    tmp_path.joinpath("home").mkdir()
    with console.Shell(
        folder=tmp_path, home=tmp_path / "home", venv_bin=VENV_BIN, timeout_s=0.5
    ) as shell:
        status, output = shell.run("sleep 600")
    assert status == -1
    assert "took too long" in output


def test_a_block_is_exempt_by_the_comment_right_before_it_only():
    blocks = console.list_blocks(SAMPLE)
    assert [(b.language, b.not_run) for b in blocks] == [
        ("console", ""),
        ("console", "takes minutes"),
        ("text", ""),
        ("console", ""),
    ]


@pytest.mark.parametrize(
    ("text", "exempt"),
    [
        ("make test", True),
        ("make nightly BUDGET=8h", True),
        ("sudo apt-get install python3-venv", True),
        ("make demo", False),
        ("probatum ask magika README.md", False),
        ("make testing; probatum up", False),
    ],
)
def test_what_may_be_exempt(text, exempt):
    assert console.is_exempt(console.Command(line=1, text=text)) is exempt
