"""Inputs as people write them on a command line: ``name=[1, 2]``, ``name=@file.npy``, ``@x.json``.

Numbers go from text to the declared type by the protocol's own reader, so what is typed here and
what is sent as JSON to a gateway are the same bits. Arrays in ``.npy`` files are taken if no value
is lost but by rounding floats. Must not know networks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Final

import msgspec

from probatum.cli.settings import read_bounded
from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.jsonnumbers import decode_numbers
from probatum.protocol.manifests import TensorSpec
from probatum.protocol.tensors import DTYPES, DtypeName, Tensor, check_tensor

__all__ = ["InputWord", "build_tensors", "parse_input"]

_NAMED: Final = re.compile(
    r"(?P<name>[^=@\[\]:{}\"']+)(?::(?P<dtype>[a-z0-9]+))?=(?P<value>.*)", re.DOTALL
)
_FORMS: Final = "name=[1, 2, 3], name:float32=[0.5], name=@file.npy or name=@file.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputWord:
    """One input, as written.

    Attributes:
        name: None where the model's only input is meant.
        dtype: None where the model's own is meant.
        text: JSON; None where a file is named.
        path: The file.
    """

    name: str | None
    dtype: str | None
    text: str | None
    path: Path | None


def parse_input(word: str) -> InputWord:
    """Read one word.

    Raises:
        Refusal: `input.malformed`, `input.unknown-dtype`.
    """
    match = _NAMED.fullmatch(word)
    name, dtype, value = match.group("name", "dtype", "value") if match else (None, None, word)
    if dtype is not None and dtype not in DTYPES:
        raise Refusal(
            "input.unknown-dtype", f"{dtype!r} is no element type", hint=", ".join(DTYPES)
        )
    value = value.strip()
    if value.startswith("@") and len(value) > 1:
        return InputWord(name=name, dtype=dtype, text=None, path=Path(value[1:]))
    if not value or value[0] not in "[-0123456789tf":
        raise Refusal("input.malformed", f"{word[:60]!r} is no input", hint=_FORMS)
    return InputWord(name=name, dtype=dtype, text=value, path=None)


def build_tensors(
    words: tuple[InputWord, ...], specs: tuple[TensorSpec, ...] | None
) -> tuple[Tensor, ...]:
    """Make the tensors of a request, in the model's order.

    Args:
        words: What was written.
        specs: The model's inputs; None if they are not known, and every word says its type.

    Raises:
        Refusal: `input.*`, `oip.*` for numbers that do not fit, `tensor.*`.
    """
    named = [(_name(word, specs), word) for word in words]
    if len({name for name, _ in named}) != len(named):
        raise Refusal("input.twice", "an input is given twice")
    known = {spec.name: spec for spec in specs or ()}
    if specs is not None:
        missing = [spec.name for spec in specs if spec.name not in dict(named)]
        unknown = [name for name, _ in named if name not in known]
        if missing or unknown:
            raise Refusal(
                "input.wrong-names",
                f"missing: {', '.join(missing) or 'nothing'}; "
                f"not of this model: {', '.join(unknown) or 'nothing'}",
                hint="the model takes " + ", ".join(map(_describe, specs)),
            )
        order = list(known)
        named.sort(key=lambda pair: order.index(pair[0]))
    return tuple(_build(name, word, known.get(name)) for name, word in named)


def _describe(spec: TensorSpec) -> str:
    return f"{spec.name}:{spec.dtype}[{','.join(map(str, spec.shape))}]"


def _name(word: InputWord, specs: tuple[TensorSpec, ...] | None) -> str:
    if word.name is not None:
        return word.name
    if specs is not None and len(specs) == 1:
        return specs[0].name
    raise Refusal("input.no-name", "say which input this is", hint=_FORMS)


def _build(name: str, word: InputWord, spec: TensorSpec | None) -> Tensor:
    if word.path is not None and word.path.suffix == ".npy":
        tensor = _load_npy(name, word.path, word.dtype or (spec.dtype if spec else None))
    else:
        text = (
            read_bounded(word.path, limits.REQUEST_BYTES)
            if word.path is not None
            else (word.text or "").encode()
        )
        tensor = _read_json(name, text, word.dtype, spec)
    check_tensor(tensor)
    return tensor


def _read_json(name: str, text: bytes, dtype: str | None, spec: TensorSpec | None) -> Tensor:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal("input.malformed", f"{name!r} is no JSON: {error}", hint=_FORMS) from None
    wanted = dtype or (spec.dtype if spec else None)
    if wanted is None:
        raise Refusal("input.no-dtype", f"say the type of {name!r}", hint=f"{name}:float32=[…]")
    nested = _measure(value)
    if not nested:
        text = b"[%b]" % text
    shape = nested if spec is None else _fit(name, nested, spec)
    if prod(shape) * DTYPES[wanted].size_bytes > limits.TENSOR_BYTES:
        raise Refusal("tensor.too-large", f"{name!r} exceeds {limits.TENSOR_BYTES} bytes")
    data = decode_numbers(name, wanted, shape if nested else (1,), text)
    return Tensor(name=name, dtype=_dtype(wanted), shape=shape, data=data)


def _dtype(name: str) -> DtypeName:
    """Take a key of `DTYPES` as what it is."""
    found: DtypeName = msgspec.convert(name, DtypeName)
    return found


def _measure(value: object) -> tuple[int, ...]:
    """Measure nested arrays along their first elements; the reader finds ragged ones."""
    shape: list[int] = []
    while isinstance(value, list) and len(shape) < limits.TENSOR_RANK:
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _fit(name: str, nested: tuple[int, ...], spec: TensorSpec) -> tuple[int, ...]:
    """Find the shape that is meant: as nested; one row of a batch; or a flat list that fills it."""
    if len(nested) == len(spec.shape):
        return nested
    if len(nested) == len(spec.shape) - 1 and isinstance(spec.shape[0], str) and len(nested) > 1:
        return (1, *nested)
    free = sum(isinstance(dim, str) for dim in spec.shape)
    fixed = prod(dim for dim in spec.shape if isinstance(dim, int))
    count = prod(nested)
    if len(nested) <= 1 and free <= 1 and fixed and count % fixed == 0:
        return tuple(count // fixed if isinstance(dim, str) else dim for dim in spec.shape)
    raise Refusal(
        "input.wrong-shape",
        f"{name!r} has the shape {list(nested)}",
        hint=f"the model takes {_describe(spec)}; nest the arrays so",
    )


def _load_npy(name: str, path: Path, dtype: str | None) -> Tensor:
    import io  # noqa: PLC0415 - with numpy, below

    import numpy as np  # noqa: PLC0415 - costs more than most commands

    data = read_bounded(path, limits.TENSOR_BYTES + limits.KIB)
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise Refusal("input.no-array", f"{path} is no .npy file: {error}") from None
    if not isinstance(array, np.ndarray):
        raise Refusal("input.no-array", f"{path} holds several arrays", hint="save one as .npy")
    wanted = dtype or array.dtype.name
    if wanted not in DTYPES:
        raise Refusal("input.unknown-dtype", f"{path} holds {wanted}", hint=", ".join(DTYPES))
    cast = array.astype(wanted)
    same_kind = (array.dtype.kind == "f") == (cast.dtype.kind == "f")
    if not same_kind or (cast.dtype.kind != "f" and not np.array_equal(cast, array)):
        raise Refusal(
            "input.wrong-dtype",
            f"{path} holds {array.dtype.name}; {name!r} takes {wanted}",
            hint=f"numpy.save(path, array.astype({wanted!r}))",
        )
    little = np.ascontiguousarray(cast.astype(cast.dtype.newbyteorder("<")))
    return Tensor(name=name, dtype=_dtype(wanted), shape=tuple(array.shape), data=little.tobytes())
