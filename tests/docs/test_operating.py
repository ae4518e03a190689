"""What `docs/operating` names exists: error codes, settings, figures, the doctor's rows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from probatum.nodes.shell.config import FullConfig, GatewayConfig, InferenceConfig
from probatum.nodes.shell.config_text import list_settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs" / "operating").glob("*.md"))
SOURCE = "\n".join(path.read_text() for path in sorted((ROOT / "src").rglob("*.py")))
WORD = re.compile(r"`([^`\n]+)`")
CODE = re.compile(r"(?:node|gateway|full|door|journal|store|follow|key|config|consensus)\.[a-z*-]+")


def list_words(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    return WORD.findall(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_code_that_is_explained_can_be_raised(page):
    codes = {word for word in list_words(page) if CODE.fullmatch(word)}
    codes -= {"node.toml"}
    unknown = {code for code in codes if f'"{code.removesuffix("*")}' not in SOURCE}
    assert unknown == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_and_figure_that_is_named_exists(page):
    kinds = (FullConfig, GatewayConfig, InferenceConfig)
    settings = {setting.name for kind in kinds for setting in list_settings(kind)}
    for word in list_words(page):
        if re.fullmatch(r"(?!process_)[a-z][a-z_]+_(?:bytes|ms|at_once|per_s)", word):
            assert word in settings, word
        for figure in re.findall(r"\bprobatum_[a-z_]+", word):
            short = figure.removeprefix("probatum_")
            assert f'"{short}"' in SOURCE or f'"{figure}"' in SOURCE, figure


def test_every_row_of_the_doctor_is_explained():
    """Rows are named where they are made: ``check="disk"``, or handed to what makes them."""
    rows = set()
    for path in sorted((ROOT / "src" / "probatum" / "ops").glob("inspect_*.py")):
        text = path.read_text()
        rows |= set(re.findall(r'check="([^"]+)"', text))
        rows |= set(re.findall(r'attempt\("([^"]+)"', text))
        rows |= set(re.findall(r'check = "([^"]+)"', text))
    page = (ROOT / "docs" / "operating" / "doctor.md").read_text()
    explained = set(re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE))
    assert len(rows) > 15
    assert rows - explained == set()
    assert {row for row in explained - rows if not row.startswith("package ")} == set()
