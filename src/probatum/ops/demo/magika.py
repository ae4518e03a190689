"""Magika, a real file-type classifier: its package, its features and what its answers mean.

The model (Apache-2.0) reads 2,048 numbers: the first and the last kibibyte of what is left of a
file's two end blocks without the white space around them. The facts here are those of
``standard_v3_3``; the files come from `models/fetch.py`. Must not know networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
from msgspec import Meta

from probatum.errors import Refusal
from probatum.hub.build import PackageFacts, build_package
from probatum.hub.files import disk_faults, read_bounded
from probatum.hub.package import Package
from probatum.protocol.tensors import Tensor
from probatum.runtime.schema import read_schema

__all__ = [
    "FEATURES",
    "Guess",
    "build_magika",
    "compute_features",
    "make_input",
    "read_features",
    "read_guesses",
]

FEATURES: Final = 2_048
"""Numbers that the model reads a file as."""

_SIDE: Final = FEATURES // 2
_BLOCK: Final = 4_096
_PADDING: Final = 256
_MODEL_BYTES: Final = 16 << 20
_CONFIG_BYTES: Final = 64 << 10
_CARD_BYTES: Final = 256 << 10


class _Config(msgspec.Struct, frozen=True, kw_only=True):
    """The part of `config.min.json` that must be as this page computes."""

    beg_size: int
    mid_size: int
    end_size: int
    block_size: int
    padding_token: int
    target_labels_space: Annotated[tuple[str, ...], Meta(min_length=1, max_length=4_096)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """What the model takes a file for, and how sure it is (0 to 1)."""

    label: str
    score: float


def build_magika(source: Path, folder: Path) -> Package:
    """Build the package from the fetched files.

    Args:
        source: Holds `model.onnx`, `config.min.json` and `README.md`, as fetched.
        folder: Where the package will lie; must not exist yet.

    Raises:
        Refusal: `demo.other-magika` if the configuration is not the one that this page computes
            features for, and those of `build_package` and `read_schema`.
        Fault: `hub.disk`.
    """
    with disk_faults(f"cannot read the model in {source}"):
        model = read_bounded(source / "model.onnx", _MODEL_BYTES)
        config_bytes = read_bounded(source / "config.min.json", _CONFIG_BYTES)
        card = read_bounded(source / "README.md", _CARD_BYTES)
    labels = _read_labels(config_bytes)
    schema = read_schema(model, "n")
    facts = PackageFacts(
        name="magika",
        version="standard-v3.3",
        task="file-type",
        licence="Apache-2.0",
        description=(
            "Magika classifies files by their content. Input: first and last 1,024 bytes of the "
            "stripped 4,096-byte end blocks, padded with 256. Output: a probability for each label."
        ),
        inputs=schema.inputs,
        outputs=schema.outputs,
        labels=labels,
        batch_dim="n",
    )
    return build_package(facts, model, folder, {"config.min.json": config_bytes, "README.md": card})


def compute_features(head: bytes, tail: bytes) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """Compute the features of one file.

    Args:
        head: The file's first 4,096 bytes, or all of a shorter file.
        tail: Its last 4,096 bytes, or all of a shorter file.

    Returns:
        int32 of shape (2048,): bytes as 0 to 255, 256 where there is none; padding stands behind
        the head's bytes and before the tail's.
    """
    features = np.full(FEATURES, _PADDING, np.int32)
    begin = head[:_BLOCK].lstrip()[:_SIDE]
    end = tail[-_BLOCK:].rstrip()[-_SIDE:]
    features[: len(begin)] = np.frombuffer(begin, np.uint8)
    features[FEATURES - len(end) :] = np.frombuffer(end, np.uint8)
    return features


def read_features(path: Path) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """Compute the features of a file on this machine, reading its two end blocks alone.

    Raises:
        Fault: `hub.disk` if it cannot be read.
    """
    with disk_faults(f"cannot read {path}"), path.open("rb") as file:
        head = file.read(_BLOCK)
        size = file.seek(0, 2)
        file.seek(max(0, size - _BLOCK))
        return compute_features(head, file.read(_BLOCK))


def make_input(features: tuple[np.ndarray[tuple[int], np.dtype[np.int32]], ...]) -> Tensor:
    """Make the model's input out of the features of one or more files."""
    data = np.stack(features).astype("<i4", copy=False).tobytes()
    return Tensor(name="bytes", dtype="int32", shape=(len(features), FEATURES), data=data)


def read_guesses(output: Tensor, labels: tuple[str, ...]) -> tuple[Guess, ...]:
    """Read the model's answer: the likeliest label of each file.

    Args:
        output: The model's output `target_label`, float32 of shape (files, labels).
        labels: The package's labels.
    """
    scores = np.frombuffer(output.data, "<f4").reshape(output.shape)
    best = scores.argmax(axis=1)
    return tuple(
        Guess(label=labels[index], score=float(row[index]))
        for row, index in zip(scores, best.tolist(), strict=True)
    )


def _read_labels(config_bytes: bytes) -> tuple[str, ...]:
    try:
        config = msgspec.json.decode(config_bytes, type=_Config)
    except msgspec.MsgspecError as error:
        raise Refusal("demo.other-magika", f"the configuration cannot be read: {error}") from None
    found = (config.beg_size, config.mid_size, config.end_size, config.block_size)
    if found != (_SIDE, 0, _SIDE, _BLOCK) or config.padding_token != _PADDING:
        raise Refusal(
            "demo.other-magika",
            "the configuration asks for other features than these",
            hint="fetch the model again: python models/fetch.py magika",
        )
    return config.target_labels_space
