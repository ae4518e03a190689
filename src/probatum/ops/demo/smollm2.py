"""SmolLM2-135M-Instruct as a package, imported once from what `models/fetch.py` fetched.

Must not know networks.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from probatum.canon.expand import language
from probatum.errors import Refusal
from probatum.hub import importing
from probatum.hub.files import disk_faults
from probatum.hub.importing.gguf_file import read_gguf
from probatum.hub.importing.writing import ImportFacts, write_text_package
from probatum.hub.package import Package, load_package

__all__ = ["IMPORTED", "NAME", "RECIPE", "open_smollm2"]

NAME: Final = "smollm2"
RECIPE: Final = "smollm2-135m-instruct"
IMPORTED: Final = Path(".cache/imported")
"""Where packages are kept that were imported, seen from the repository's root."""
_FACTS: Final = ImportFacts(
    name=NAME,
    version="1",
    licence="Apache-2.0",
    description="SmolLM2-135M-Instruct",
    context=2048,
)
_TOP_K: Final = 64


def open_smollm2(fetched: Path, imported: Path, progress: Callable[[int, int], None]) -> Package:
    """Open the package, importing the model if these very pages have not done so before.

    Args:
        fetched: Folder with the fetched models, a folder each.
        imported: Folder for packages; older ones of this model are removed from it.
        progress: Is told how many bytes of weights are written, and of how many.

    Raises:
        Refusal: `demo.no-model` if it was not fetched; those of `read_gguf`,
            `write_text_package` and `load_package`.
        Fault: `hub.disk`.
    """
    source = fetched / RECIPE / "model.gguf"
    if not source.is_file():
        raise Refusal(
            "demo.no-model",
            f"there is no model in {source.parent}",
            hint=f"`make demo-chat` fetches it; so does `python models/fetch.py {RECIPE}`",
        )
    folder = imported / f"{RECIPE}-{_compute_state()}"
    if folder.is_dir():
        return load_package(folder)
    with disk_faults(f"cannot write to {imported}"):
        for old in sorted(imported.glob(f"{RECIPE}-*")):
            shutil.rmtree(old)
        imported.mkdir(parents=True, exist_ok=True)
    return write_text_package(read_gguf(source, top_k=_TOP_K), _FACTS, folder, progress)


def _compute_state() -> str:
    """Name the importer by its pages: others may make another package of the same file."""
    digest = hashlib.sha256()
    for room in (importing, language):
        for page in sorted(Path(str(room.__file__)).parent.glob("*.py")):
            digest.update(page.read_bytes())
    return digest.hexdigest()[:16]
