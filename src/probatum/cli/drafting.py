"""A model's folder before it is a package: `model.toml`, what its maker says of it.

`probatum model init` writes one with a comment for each line, `check` and `pack` read it. The
folder holds the ONNX file beside it. Must not know engines. Read next: `making`.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from probatum.cli.settings import read_bounded
from probatum.errors import Fault, Refusal
from probatum.hub.files import read_bounded as read_own
from probatum.protocol import limits
from probatum.protocol.manifests import PackagePath, Parent
from probatum.protocol.parties import ModelName, ModelVersion

__all__ = ["DRAFT_NAME", "TRAIN_NAME", "Draft", "check_complete", "load_draft", "write_draft"]

DRAFT_NAME: Final = "model.toml"
TRAIN_NAME: Final = "train.py"
_DRAFT_BYTES: Final = 64 * limits.KIB
_LABELS_BYTES: Final = 1 * limits.MIB

_DRAFT: Final = """\
# What this model is. `probatum model check` reads it and says what is missing;
# `probatum model pack` makes the package.

# How people ask for it: lower case letters, digits, inner dots, dashes, underscores.
name = "{name}"

# Text. A package never changes, so a new one is a new version.
version = "1.0"

# A word: classification, regression, embedding, …
task = "{task}"

# An SPDX expression, like "Apache-2.0" or "MIT".
licence = ""

# A sentence or two: trained on what, good for what, and not for what.
description = ""

# The ONNX file in this folder, weights inside.
file = "model.onnx"

# For a classifier: names of its classes in their order, here or in a file, one a line.
# labels = ["no", "yes"]
{labels}

# Whether rows do not depend on one another: then a node may join requests along the
# first dimension. Right for most models; wrong where a row's answer looks at other rows.
batch = {batch}

# Whether nodes can answer exactly: the same bits on every machine, which anybody computes again.
# `probatum model check` says whether they can. Beside it: the values that its dims may have, by
# their names in the ONNX file ("1..16" of each that is not named), and inputs that are constants.
exact = false
# dims = {{ n = "1..64" }}
# bind = {{ sr = 16000 }}

# What it was made from: the package digest of each parent, and how.
# converted, fine-tuned, quantised, distilled or merged
# [[parents]]
# package = "64 hexadecimal digits, from `probatum model show`"
# relation = "fine-tuned"
"""

_TRAIN: Final = '''\
"""Trains a small classifier and writes model.onnx and labels.txt beside this file.

It needs two packages that probatum itself does not: pip install scikit-learn skl2onnx
Change the data and the model; what must stay is that inputs and outputs are numbers.
"""

from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).resolve().parent

iris = load_iris()
known, unseen, known_kinds, unseen_kinds = train_test_split(
    iris.data.astype(np.float32), iris.target, test_size=0.3, stratify=iris.target, random_state=0
)
model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(known, known_kinds)
print(f"right about {model.score(unseen, unseen_kinds):.1%} of {len(unseen)} flowers it never saw")

exported = to_onnx(
    model,
    known[:1],
    options={"zipmap": False},  # else the probabilities are a list of dictionaries, not a tensor
    target_opset={"": 17, "ai.onnx.ml": 3},
)
(HERE / "model.onnx").write_bytes(exported.SerializeToString())
(HERE / "labels.txt").write_text("".join(f"{name}\\n" for name in iris.target_names))
'''


class Draft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a `model.toml` says; fields as in `probatum.protocol.manifests.Manifest`.

    Attributes:
        file: The ONNX file, in the folder or below it.
        labels: Names of classes; `labels_file` names a file of them instead.
        batch: Whether requests may be joined along the first dimension.
        exact: Whether the package is to have a canonical meaning (`EXACT-1`).
        dims: What that admits, by name of a dim: ``1..16``, or one number.
        bind: Constants, by name of an input.
    """

    name: ModelName
    version: ModelVersion
    task: Annotated[str, Meta(max_length=64)]
    licence: Annotated[str, Meta(max_length=128)]
    description: Annotated[str, Meta(max_length=2000)] = ""
    file: PackagePath = "model.onnx"
    labels: tuple[str, ...] = ()
    labels_file: PackagePath | None = None
    batch: bool = False
    exact: bool = False
    dims: Annotated[dict[str, str | int], Meta(max_length=16)] = msgspec.field(default_factory=dict)
    bind: Annotated[dict[str, bool | int | float | list[Any]], Meta(max_length=16)] = msgspec.field(
        default_factory=dict
    )
    parents: Annotated[tuple[Parent, ...], Meta(max_length=16)] = ()

    def list_dims(self) -> tuple[str, ...]:
        """List the ranges of dims as the command line has them: ``n=1..16``."""
        return tuple(f"{name}={value}" for name, value in self.dims.items())

    def list_constants(self) -> tuple[str, ...]:
        """List the constants as the command line has them: ``sr=16000``."""
        return tuple(f"{name}={json.dumps(value)}" for name, value in self.bind.items())

    def read_labels(self, folder: Path) -> tuple[str, ...]:
        """Read the names of classes, from the file if one is named.

        Raises:
            Refusal: `draft.malformed`, `package.missing-file`, `package.symlink`,
                `package.hard-link`, `package.odd-file`, `package.too-large`.
        """
        if self.labels_file is None:
            return self.labels
        try:
            text = read_own(folder / self.labels_file, _LABELS_BYTES).decode("utf-8")
        except UnicodeDecodeError:
            raise Refusal("draft.malformed", f"{self.labels_file} is no UTF-8 text") from None
        return tuple(text.splitlines())


def load_draft(folder: Path) -> Draft:
    """Load a folder's `model.toml`.

    Raises:
        Refusal: `draft.missing`, `draft.malformed`, `settings.file-too-large`.
    """
    path = folder / DRAFT_NAME
    if not path.is_file():
        raise Refusal(
            "draft.missing",
            f"{folder} has neither a probatum.json nor a {DRAFT_NAME}",
            hint=f"`probatum model init {folder}` writes one to fill in",
        )
    try:
        values = tomllib.loads(read_bounded(path, _DRAFT_BYTES).decode("utf-8"))
        return msgspec.convert(values, Draft)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal("draft.malformed", f"{path} is no TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise Refusal("draft.malformed", f"{path}: {error}") from None


def check_complete(draft: Draft) -> None:
    """Check that everything is said that a package must say.

    Raises:
        Refusal: `draft.incomplete`.
    """
    empty = [name for name in ("task", "licence") if not getattr(draft, name).strip()]
    if empty:
        raise Refusal(
            "draft.incomplete",
            f"{DRAFT_NAME} leaves {' and '.join(empty)} empty",
            hint="nobody may use a model without a licence; whoever asks for it needs its task",
        )
    if draft.labels and draft.labels_file is not None:
        raise Refusal("draft.incomplete", f"{DRAFT_NAME} names labels twice: here and in a file")


def write_draft(folder: Path, *, with_training: bool) -> tuple[Path, ...]:
    """Write a `model.toml` to fill in, and if wished a script that trains an example.

    Args:
        folder: Made if need be; must hold neither file.
        with_training: Whether to write the script, and to fill in what it makes.

    Returns:
        What was written.

    Raises:
        Refusal: `draft.exists`.
        Fault: `draft.unwritable`.
    """
    name = re.sub(r"[^a-z0-9._-]+", "-", folder.resolve().name.lower()).strip("._-")[:64]
    texts = {
        DRAFT_NAME: _DRAFT.format(
            name=name.rstrip("._-") or "my-model",
            task="classification" if with_training else "",
            labels=f'{"" if with_training else "# "}labels_file = "labels.txt"',
            batch="true" if with_training else "false",
        )
    }
    if with_training:
        texts[TRAIN_NAME] = _TRAIN
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in texts:
            if (folder / path).exists():
                raise Refusal(
                    "draft.exists", f"{folder / path} exists already", hint="name a new folder"
                )
        for path, text in texts.items():
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Fault("draft.unwritable", f"cannot write {folder}: {error.strerror}") from None
    return tuple(folder / path for path in texts)
