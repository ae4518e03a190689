"""What `probatum model pack` puts into a package beside the model: a tokenizer, a card, a licence.

Must not know ONNX. Read next: `making`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from probatum.cli.places import expand_home
from probatum.cli.settings import read_bounded
from probatum.errors import Refusal
from probatum.hub.build import GRAPH_NAME, LABELS_NAME, MODEL_NAME
from probatum.hub.package import MANIFEST_NAME
from probatum.protocol import limits
from probatum.protocol.manifests import SIGNATURE_NAME

__all__ = ["ALONE", "Enclosure"]

_FILE_BYTES: Final = 32 * limits.MIB
_TAKEN: Final = frozenset({GRAPH_NAME, LABELS_NAME, MANIFEST_NAME, MODEL_NAME, SIGNATURE_NAME})


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Enclosure:
    """What goes along.

    Attributes:
        enclose: Files, each under its own name.
        max_tokens: Tokens that the model takes of one text.
    """

    enclose: Annotated[
        tuple[Path, ...],
        Parameter(help="A file that goes along: tokenizer.json, a licence; may be given again."),
    ] = ()
    max_tokens: Annotated[
        int | None, Parameter(help="Most tokens of one text, for models with a tokenizer.")
    ] = None

    def read(self) -> Mapping[str, bytes]:
        """Read the files.

        Raises:
            Refusal: `draft.odd-file` for a name that a package needs itself, or that is there
                twice; `settings.no-file`, `settings.file-too-large`.
            Fault: `settings.unreadable`.
        """
        found: dict[str, bytes] = {}
        for path in self.enclose:
            if path.name in _TAKEN or path.name in found:
                raise Refusal(
                    "draft.odd-file",
                    f"the package has a file {path.name} already",
                    hint="labels go by --labels; each other file has a name of its own",
                )
            found[path.name] = read_bounded(expand_home(path), _FILE_BYTES)
        return found


ALONE: Final = Enclosure()
