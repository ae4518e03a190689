"""What the tables of messages are made of: `Schema`, `Field`, `Kind`.

A schema is checked against its value's class when it is made, and prepared for `wire`, which
reads and writes by it: what to do at each tag, how to write each field, what to leave out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from enum import IntEnum
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar

from probatum.consensus.cometbft.varints import append_varint
from probatum.errors import Misuse

__all__ = ["DELIMITED", "FIXED32", "FIXED64", "VARINT", "Action", "Field", "Kind", "Schema"]

T = TypeVar("T")


class Kind(IntEnum):
    """How a field's value is written."""

    UINT64 = 0
    INT64 = 1
    UINT32 = 2
    INT32 = 3
    BOOL = 4
    BYTES = 5
    STRING = 6
    LOOSE_STRING = 7
    """Text that strangers choose and the engine does not check: what is no UTF-8 is replaced."""


class Action(IntEnum):
    """What a decoder does with a field, where its kind alone does not say it."""

    MESSAGE = 8
    BYTES_ITEM = 9
    STRING_ITEM = 10
    MESSAGE_ITEM = 11
    NUMBER_ITEM = 12
    NUMBERS_PACKED = 13
    ANY_OF = 14


VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
"""Wire types."""
_ITEMS: Final = {
    Kind.BYTES: Action.BYTES_ITEM,
    Kind.STRING: Action.STRING_ITEM,
    Kind.UINT32: Action.NUMBER_ITEM,
}
_NEVER: Final = object()
"""What equals no value: such a field is always written."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message.

    Attributes:
        number: Its number.
        name: Of the value's attribute.
        kind: How it is written; a schema for a message.
        many: Whether it repeats; the attribute is then a tuple.
        may_lack: Of a message: whether the attribute may be None. A message that may not is written
            even when it is empty, as Go's are.
        any_of: Whether it belongs to the message's one choice among fields (``oneof``): None where
            another was made, and written even when it is empty.
    """

    number: int
    name: str
    kind: Kind | Schema[Any]
    many: bool = field(default=False, kw_only=True)
    may_lack: bool = field(default=False, kw_only=True)
    any_of: bool = field(default=False, kw_only=True)


class Schema(Generic[T]):
    """The table of one message: its fields and the value that they become."""

    __slots__ = ("blank", "choice", "entries", "fields", "get", "make", "nested", "numbers", "rows")

    def __init__(self, make: Callable[..., T], *table: Field) -> None:
        """Make a schema.

        Args:
            make: The value's class, called with the fields that were found.
            table: The fields.

        Raises:
            Misuse: `abci.bad-table` when the table is not that of the class.
        """
        names = tuple(row.name for row in table)
        ours = {row.name for row in fields(make)} if is_dataclass(make) else set(names)
        if set(names) != ours or len({row.number for row in table}) != len(table):
            raise Misuse("abci.bad-table", f"the table of {make!r} is not that of its class")
        self.make = make
        self.fields = table
        self.numbers = frozenset(row.number for row in table)
        self.entries = {tag: entry for row in table for tag, entry in _list_entries(row)}
        self.choice = tuple(row.name for row in table if row.any_of)
        self.nested: dict[str, Schema[Any] | None] = {
            row.name: row.kind if isinstance(row.kind, Schema) and not row.many else None
            for row in table
            if row.many or isinstance(row.kind, Schema)
        }
        self.rows = tuple(_make_row(row) for row in table)
        self.blank = tuple(row[3] for row in self.rows)
        self.get: Callable[[object], tuple[Any, ...]] = (
            attrgetter(*names)
            if len(names) > 1
            else lambda value: tuple(getattr(value, name) for name in names)
        )

    def __repr__(self) -> str:
        """Name the message."""
        return f"Schema({getattr(self.make, '__name__', self.make)})"


def _list_entries(field: Field) -> tuple[tuple[int, tuple[str, int, Any]], ...]:
    """List the tags that a field may come with, and what a decoder does then."""
    kind, tag = field.kind, field.number << 3
    if isinstance(kind, Schema):
        what = Action.MESSAGE_ITEM if field.many else Action.MESSAGE
        what = Action.ANY_OF if field.any_of else what
        return ((tag | DELIMITED, (field.name, int(what), kind)),)
    if field.many:
        items = ((tag | _get_wire_type(kind), (field.name, int(_ITEMS[kind]), kind)),)
        if kind < Kind.BYTES:
            return (*items, (tag | DELIMITED, (field.name, int(Action.NUMBERS_PACKED), kind)))
        return items
    action = int(Action.ANY_OF if field.any_of else kind)
    return ((tag | _get_wire_type(kind), (field.name, action, kind)),)


def _make_row(field: Field) -> tuple[bytes, Kind | Schema[Any], bool, object]:
    """Make what an encoder needs of a field: tag, kind, whether it repeats, what is left out."""
    kind = field.kind
    packed = field.many and not isinstance(kind, Schema) and kind < Kind.BYTES
    wire_type = DELIMITED if isinstance(kind, Schema) or packed else _get_wire_type(kind)
    tag = bytearray()
    append_varint(tag, field.number << 3 | wire_type)
    blank: object
    if field.many:
        blank = ()
    elif field.any_of or field.may_lack:
        blank = None
    elif isinstance(kind, Schema):
        blank = _NEVER
    else:
        blank = 0 if kind < Kind.BYTES else b"" if kind == Kind.BYTES else ""
    return bytes(tag), kind, field.many, blank


def _get_wire_type(kind: Kind) -> int:
    return VARINT if kind < Kind.BYTES else DELIMITED
