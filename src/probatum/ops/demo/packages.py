"""Packages of the real models that `models/fetch.py` lays down: what each one is.

A table, and one function that follows it. Magika's features are this demo's own business, so it
has a page of its own. Must not know networks. Read next: `magika`, `minilm`, `volatility`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from probatum.errors import Refusal
from probatum.hub.build import GRAPH_NAME, PackageFacts, build_package
from probatum.hub.files import disk_faults, read_bounded
from probatum.hub.package import Package
from probatum.ops.demo.magika import build_magika
from probatum.ops.demo.minilm import TOKENS
from probatum.protocol import limits
from probatum.protocol.manifests import Dim, DimRange, TensorSpec
from probatum.runtime.checking.cell import expand_confined
from probatum.runtime.checking.report import Question
from probatum.runtime.schema import Schema, read_schema

__all__ = ["FETCHED", "MODELS", "RealModel", "build_real", "get_source"]

FETCHED: Final = Path(".cache/models")
"""Where `models/fetch.py` puts what it fetches, seen from the repository's root."""
_MODEL_BYTES: Final = 256 * limits.MIB
_FILE_BYTES: Final = limits.MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class RealModel:
    """How one package is put together.

    Attributes:
        source: The recipe whose folder has the files.
        model: The ONNX file in it.
        extra: Further files that go along.
        labels: The file with the output's classes, a line each; None if there are none.
        batch_dim, max_tokens: As in `PackageFacts`.
        fixed: Free dimensions that must have a certain size: input, axis, size.
        dims: What class `exact` admits; none if the package has no canonical graph.
    """

    version: str
    task: str
    licence: str
    description: str
    source: str
    model: str = "model.onnx"
    extra: tuple[str, ...] = ()
    labels: str | None = None
    batch_dim: str | None = "n"
    max_tokens: int | None = None
    fixed: tuple[tuple[str, int, int], ...] = ()
    dims: tuple[DimRange, ...] = ()


MODELS: Final[Mapping[str, RealModel]] = MappingProxyType(
    {
        "all-minilm-l6-v2": RealModel(
            version="1.0.0",
            task="embedding",
            licence="Apache-2.0",
            description=(
                "all-MiniLM-L6-v2: embeds English sentences of up to 256 tokens as 384 numbers of "
                "length 1, so that their product says how alike two are. Input: ids of the "
                "tokeniser in tokenizer.json, and a mask that is 1 for them and 0 for padding."
            ),
            source="all-minilm-l6-v2",
            extra=("README.md", "tokenizer.json"),
            max_tokens=TOKENS,
        ),
        "pp-ocrv4-detector": RealModel(
            version="4.0.0",
            task="text-detection",
            licence="Apache-2.0",
            description=(
                "PP-OCRv4: finds text in a picture. Input: blue, green and red as (v/255-0.5)/0.5, "
                "height and width multiples of 32. Output: how likely each point is text."
            ),
            source="pp-ocrv4",
            model="detector.onnx",
        ),
        "pp-ocrv4-reader": RealModel(
            version="4.0.0",
            task="text-recognition",
            licence="Apache-2.0",
            description=(
                "PP-OCRv4: reads one line of Chinese or English text. Input: the line, 48 high, as "
                "(v/255-0.5)/0.5. Output: for each step a probability of each label; the first "
                "label is the gap between two characters (CTC)."
            ),
            source="pp-ocrv4",
            model="reader.onnx",
            labels="characters.txt",
            fixed=(("x", 2, 48),),
        ),
        "silero-vad": RealModel(
            version="6.2.3",
            task="speech-detection",
            licence="MIT",
            description=(
                "Silero VAD: says how likely it is that somebody speaks. Input: 512 samples of "
                "16 kHz behind the 64 before them, the state that came with the last answer (zeros "
                "at first), and the rate. Output: a probability and the next state."
            ),
            source="silero-vad",
            extra=("LICENSE",),
            # The state's rows stand in its second dimension.
            batch_dim=None,
        ),
        "sp500-volatility": RealModel(
            version="1.0.0",
            task="forecast",
            licence="NCSA",
            description=(
                "Forecasts the next trading day's volatility of the S&P 500 from 22 days of open, "
                "high, low and close, oldest first: HAR with losses. R2 of the log-variance out "
                "of sample, 2015 to 2018: 0.509; HAR without losses 0.481; as today 0.305."
            ),
            source="sp500-volatility",
            extra=("README.md", "facts.json"),
            dims=(DimRange(name="n", least=1, greatest=16),),
        ),
    }
)


def get_source(name: str) -> Path:
    """Get the folder where a model's fetched files lie, seen from the repository's root."""
    return FETCHED / (MODELS[name].source if name in MODELS else name)


def build_real(name: str, source: Path, folder: Path) -> Package:
    """Build the package of a real model from its fetched files.

    Args:
        name: "magika", or one of `MODELS`.
        source: The folder with its files.
        folder: Where the package will lie; must not exist yet.

    Raises:
        Refusal: `demo.unknown-model`, `demo.no-model` if its files are not there, `demo.*`,
            and those of `build_package` and `read_schema`.
        Fault: `hub.disk`.
    """
    if name != "magika" and name not in MODELS:
        known = ", ".join(sorted(("magika", *MODELS)))
        raise Refusal("demo.unknown-model", f"there is no recipe for {name!r}", hint=known)
    model = None if name == "magika" else MODELS[name]
    if not (source / (model.model if model else "model.onnx")).is_file():
        raise Refusal(
            "demo.no-model",
            f"there is no model in {source}",
            hint=f"in a checkout `python models/fetch.py {model.source if model else name}` "
            "fetches it; if it lies elsewhere, name its folder: --files",
        )
    return build_magika(source, folder) if model is None else _build(name, model, source, folder)


def _build(name: str, model: RealModel, source: Path, folder: Path) -> Package:
    with disk_faults(f"cannot read the model in {source}"):
        onnx = read_bounded(source / model.model, _MODEL_BYTES)
        extra = {path: read_bounded(source / path, _FILE_BYTES) for path in model.extra}
        labels = read_bounded(source / model.labels, _FILE_BYTES) if model.labels else b""
    schema = _fix(read_schema(onnx, model.batch_dim), model.fixed)
    facts = PackageFacts(
        name=name,
        version=model.version,
        task=model.task,
        licence=model.licence,
        description=model.description,
        inputs=schema.inputs,
        outputs=schema.outputs,
        labels=tuple(labels.decode().split("\n")[:-1]),
        batch_dim=model.batch_dim,
        max_tokens=model.max_tokens,
        dims=model.dims,
    )
    if model.dims:
        extra[GRAPH_NAME] = _expand(onnx, model.dims)
    return build_package(facts, onnx, folder, extra)


def _expand(onnx: bytes, dims: tuple[DimRange, ...]) -> bytes:
    """Make the canonical graph that a package of class `exact` holds."""
    ranges = {dim.name: (dim.least, dim.greatest) for dim in dims}
    report, graph = expand_confined(Question(model=onnx, ranges=ranges))
    if not report.is_admitted:
        first = report.reasons[0]
        raise Refusal(first.code, first.message, hint=first.hint)
    return graph


def _fix(schema: Schema, fixed: tuple[tuple[str, int, int], ...]) -> Schema:
    """Give free dimensions of inputs the one size that the model was made for."""
    inputs = []
    for spec in schema.inputs:
        shape: list[Dim] = list(spec.shape)
        for name, axis, size in fixed:
            if name == spec.name:
                shape[axis] = size
        inputs.append(TensorSpec(name=spec.name, dtype=spec.dtype, shape=tuple(shape)))
    return Schema(inputs=tuple(inputs), outputs=schema.outputs)
