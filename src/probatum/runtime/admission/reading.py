"""Reads an ONNX file into a tree of messages, within bounds and strictly (`PUB-1`).

Strictly, because our reader and the engine's must see the same file: a field that we do not know
and a single field that stands twice (which readers merge) are refused. Bytes are not copied.
Must not know what is good or bad beyond that. Read next: `judge`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from probatum.errors import Refusal
from probatum.runtime.admission import bounds
from probatum.runtime.admission.messages import MESSAGES, SCALARS, Field
from probatum.runtime.wire import BYTES, FIXED32, FIXED64, VARINT, read_fields, read_varint

__all__ = ["Bulk", "Message", "read_model"]

_HEAD_BYTES: Final = 128
_LONG: Final = bytes(range(128, 256))
_PROSE: Final = frozenset({"doc_string", "metadata_props"})


class Bulk:
    """Numbers of a list: how many there are, and the bytes of the first.

    Attributes:
        count: How many.
        head: First bytes of their little-endian form, for numbers of a fixed size.
    """

    __slots__ = ("count", "head")

    def __init__(self) -> None:
        """Make an empty one."""
        self.count = 0
        self.head = b""


class Message:
    """One message: its fields by name, in the order in which they stand.

    Attributes:
        kind: Which message it is, by its name in `MESSAGES`.
    """

    __slots__ = ("_bulks", "_bytes", "_numbers", "_parts", "kind")

    def __init__(self, kind: str) -> None:
        """Make an empty one."""
        self.kind = kind
        self._numbers: dict[str, list[int]] = {}
        self._bytes: dict[str, list[memoryview]] = {}
        self._parts: dict[str, list[Message]] = {}
        self._bulks: dict[str, Bulk] = {}

    def has(self, name: str) -> bool:
        """Whether a field stands in it."""
        return any(name in each for each in (self._numbers, self._bytes, self._parts, self._bulks))

    def numbers(self, name: str) -> list[int]:
        """The numbers of a field that are kept."""
        return self._numbers.get(name, [])

    def number(self, name: str, default: int = 0) -> int:
        """The number of a single field."""
        return self._numbers.get(name, [default])[0]

    def blobs(self, name: str) -> list[memoryview]:
        """The bytes of a field."""
        return self._bytes.get(name, [])

    def texts(self, name: str) -> list[str]:
        """The texts of a field; what is no UTF-8 is shown as such."""
        return [str(blob, "utf-8", "backslashreplace") for blob in self.blobs(name)]

    def text(self, name: str) -> str:
        """The text of a single field, empty if it does not stand there."""
        return next(iter(self.texts(name)), "")

    def parts(self, name: str) -> list[Message]:
        """The messages of a field."""
        return self._parts.get(name, [])

    def part(self, name: str) -> Message | None:
        """The message of a single field."""
        return next(iter(self.parts(name)), None)

    def bulk(self, name: str) -> Bulk:
        """Count of the numbers of a bulk field."""
        return self._bulks.get(name) or Bulk()

    def hold(self, field: Field, value: int | memoryview | Message) -> None:
        """Add a value to a field that is kept."""
        if isinstance(value, int):
            self._numbers.setdefault(field.name, []).append(value)
        elif isinstance(value, Message):
            self._parts.setdefault(field.name, []).append(value)
        else:
            self._bytes.setdefault(field.name, []).append(value)

    def count(self, field: Field, count: int, data: memoryview | None) -> None:
        """Add numbers to a field that is counted."""
        bulk = self._bulks.setdefault(field.name, Bulk())
        bulk.count += count
        if data is not None and len(bulk.head) < _HEAD_BYTES:
            bulk.head += bytes(data[: _HEAD_BYTES - len(bulk.head)])


class _Reader:
    """Reads messages until a bound is met."""

    __slots__ = ("_fields", "_kept", "_prose_bytes")

    def __init__(self) -> None:
        self._fields = 0
        self._kept = 0
        self._prose_bytes = 0

    def read(self, data: memoryview, kind: str, depth: int) -> Message:
        if depth > bounds.DEPTH:
            raise Refusal(
                "admission.too-deep", f"messages are nested deeper than {bounds.DEPTH} levels"
            )
        message = Message(kind)
        table = MESSAGES[kind]
        for number, wire, value in read_fields(data):
            self._fields += 1
            if self._fields > bounds.FIELDS:
                raise Refusal(
                    "admission.too-many-fields", f"the file has more than {bounds.FIELDS} fields"
                )
            field = table.get(number)
            if field is None:
                raise Refusal(
                    "admission.unknown-field",
                    f"field {number} of {kind} is none that is known here",
                    hint="export it with an older ONNX version",
                )
            if not field.is_repeated and message.has(field.name):
                raise Refusal(
                    "admission.repeated-field", f"{kind} has its {field.name} more than once"
                )
            if field.is_bulk:
                self._count(message, field, wire, value)
            else:
                self._keep(message, field, wire, value, depth)
        return message

    def _keep(
        self, message: Message, field: Field, wire: int, value: int | memoryview, depth: int
    ) -> None:
        self._kept += 1
        if self._kept > bounds.KEPT_FIELDS:
            raise Refusal(
                "admission.too-many-fields",
                f"the file has more than {bounds.KEPT_FIELDS} fields that are not numbers",
            )
        if field.name in _PROSE and isinstance(value, memoryview):
            self._prose_bytes += len(value)
            if self._prose_bytes > bounds.TEXT_BYTES:
                raise Refusal(
                    "admission.too-much-text",
                    f"more than {bounds.TEXT_BYTES} bytes of documentation and metadata",
                    hint="strip them: a model computes the same without",
                )
        if field.type == "int":
            for number in _read_numbers(message, field, wire, value):
                message.hold(field, number)
        elif field.type == "float":
            # The only single one is an attribute's, and its value decides nothing here.
            if wire != FIXED32:
                raise _malformed(message, field)
            message.hold(field, value)
        elif isinstance(value, int) or wire != BYTES:
            raise _malformed(message, field)
        elif field.type in SCALARS:
            message.hold(field, value)
        else:
            message.hold(field, self.read(value, field.type, depth + 1))

    def _count(self, message: Message, field: Field, wire: int, value: int | memoryview) -> None:
        alone = {"int": VARINT, "float": FIXED32, "double": FIXED64}[field.type]
        size = {"int": 0, "float": 4, "double": 8}[field.type]
        if wire == alone:
            message.count(field, 1, None if isinstance(value, int) else value)
        elif isinstance(value, int) or wire != BYTES:
            raise _malformed(message, field)
        elif size == 0:
            if len(value) and value[-1] > 127:
                raise _malformed(message, field)
            # A number ends with the one byte of it that is below 128.
            message.count(field, len(bytes(value).translate(None, _LONG)), None)
        elif len(value) % size:
            raise _malformed(message, field)
        else:
            message.count(field, len(value) // size, value)


def read_model(data: bytes | memoryview) -> Message:
    """Read an ONNX file.

    Raises:
        Refusal: `runtime.not-onnx`, `admission.too-deep`, `admission.too-many-fields`,
            `admission.unknown-field`, `admission.repeated-field`, `admission.too-much-text`.
    """
    return _Reader().read(memoryview(data), "Model", 0)


def _read_numbers(
    message: Message, field: Field, wire: int, value: int | memoryview
) -> Iterator[int]:
    if isinstance(value, int):
        yield _to_signed(value)
        return
    # A list may be packed into one field.
    if wire != BYTES or not field.is_repeated or len(value) > 10 * bounds.NAME_BYTES:
        raise _malformed(message, field)
    at = 0
    while at < len(value):
        number, at = read_varint(value, at)
        yield _to_signed(number)


def _to_signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _malformed(message: Message, field: Field) -> Refusal:
    return Refusal(
        "runtime.not-onnx", f"this is no ONNX file: {field.name} of {message.kind} has another type"
    )
