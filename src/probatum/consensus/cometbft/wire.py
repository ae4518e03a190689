"""Protocol Buffers' encoding (proto3) by tables: strict, bounded, as Google's (`ABCI-4`).

`encode` and `decode` for whatever has a `table.Schema`. A decoder takes what proto3 lets an encoder
write: fields in any order, unknown ones (skipped), a scalar said twice (the last one counts), a
message said twice (merged), numbers packed or single. It refuses all else: truncated or overlong
integers, a field of the wrong wire type, lengths that leave their message, text that is no UTF-8,
groups (nothing here ever had any). Tables hold no cycles, so nesting ends with the tables. Must not
know what the messages mean; see `schema`.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn, TypeVar

from probatum.consensus.cometbft.table import (
    DELIMITED,
    FIXED32,
    FIXED64,
    VARINT,
    Action,
    Kind,
    Schema,
)
from probatum.consensus.cometbft.varints import append_varint, read_varint
from probatum.errors import Misuse, Refusal

__all__ = ["MAX_ITEMS", "build", "decode", "encode", "fill"]

T = TypeVar("T")
MAX_ITEMS: Final = 1 << 20
"""Messages, numbers or texts that one repeated field may hold.

The engine's own limits are far below (10,000 votes). Repeated *bytes* have no limit but the
frame's: a proposer chooses how many transactions its block has, and whoever refused to decode a
block that the others decode would stop itself.
"""
# A name of a module is read faster than an enumeration's member.
_BYTES: Final = int(Kind.BYTES)
_BYTES_ITEM: Final = int(Action.BYTES_ITEM)


# -------------------------------------------------------------------------------------- decoding


def decode(schema: Schema[T], data: bytes) -> T:
    """Decode a message.

    Raises:
        Refusal: `abci.malformed`, `abci.too-many`.
    """
    found: dict[str, Any] = {}
    fill(schema, data, 0, len(data), found)
    return build(schema, found)


def build(schema: Schema[T], found: dict[str, Any]) -> T:
    """Make the value of what `fill` found."""
    nested = schema.nested
    for name, held in found.items():
        if name in nested:
            inner = nested[name]
            found[name] = tuple(held) if inner is None else build(inner, held)
    return schema.make(**found)


def fill(schema: Schema[Any], data: bytes, start: int, end: int, found: dict[str, Any]) -> None:
    """Read the fields of the message that lies at ``data[start:end]`` into `found`.

    What is there already is treated as if it had stood before these bytes, so that a message said
    in two pieces becomes one, as proto3 demands. Single messages and repeated fields stay open
    (mappings, lists) for `build` to close.

    Raises:
        Refusal: `abci.malformed`, `abci.too-many`.
    """
    try:
        _fill(schema, data, start, end, found)
    except IndexError:
        _refuse(schema, "ends within a field")


def _fill(schema: Schema[Any], data: bytes, at: int, end: int, found: dict[str, Any]) -> None:
    # The one hot loop: a block of a thousand transactions comes through here item by item. Reading
    # past `end` is caught below, reading past the data is an IndexError, caught in `fill`.
    entries = schema.entries
    while at < end:
        tag = data[at]
        at += 1
        if tag > 127:
            tag, at = read_varint(data, at - 1)
        entry = entries.get(tag)
        if entry is None:
            at = _skip(schema, tag, data, at, end)
            continue
        number = data[at]
        at += 1
        if number > 127:
            number, at = read_varint(data, at - 1)
        if tag & 7 == VARINT:
            if at > end:
                _refuse(schema, "ends within a field")
            _take_number(schema, entry, number, found)
            continue
        begin, at = at, at + number
        name, action, _ = entry
        if at > end:
            _refuse(schema, f"has a field {name} that is longer than it")
        if action == _BYTES_ITEM:
            at = _take_run(schema, tag, data, begin, at, end, found.setdefault(name, []))
        elif action == _BYTES:
            found[name] = data[begin:at]
        else:
            _take_delimited(schema, entry, data, begin, at, found)


def _take_run(
    schema: Schema[Any], tag: int, data: bytes, begin: int, at: int, end: int, items: list[bytes]
) -> int:
    """Take an item and all that follow under the same tag, as a block's transactions do."""
    items.append(data[begin:at])
    while at < end and data[at] == tag:
        number = data[at + 1]
        begin = at + 2
        if number > 127:
            number, begin = read_varint(data, at + 1)
        at = begin + number
        if at > end:
            _refuse(schema, "has an item that is longer than it")
        items.append(data[begin:at])
    return at


def _take_delimited(
    schema: Schema[Any],
    entry: tuple[str, int, Any],
    data: bytes,
    begin: int,
    end: int,
    found: dict[str, Any],
) -> None:
    name, action, inner = entry
    if action == Action.MESSAGE_ITEM:
        one: dict[str, Any] = {}
        _fill(inner, data, begin, end, one)
        _append(schema, name, build(inner, one), found)
    elif action == Action.MESSAGE:
        _fill(inner, data, begin, end, found.setdefault(name, {}))
    elif action == Action.ANY_OF:
        if found and name not in found:
            for other in schema.choice:
                found.pop(other, None)
        if isinstance(inner, Schema):
            _fill(inner, data, begin, end, found.setdefault(name, {}))
        else:
            found[name] = data[begin:end]
    elif action == Action.NUMBERS_PACKED:
        while begin < end:
            number, begin = read_varint(data, begin)
            if begin > end:
                _refuse(schema, "ends within a field")
            _append(schema, name, _narrow(inner, number), found)
    elif action == Kind.LOOSE_STRING:
        found[name] = str(data[begin:end], "utf-8", "replace")
    else:
        try:
            text = str(data[begin:end], "utf-8")
        except UnicodeDecodeError:
            _refuse(schema, f"has a text {name} that is no UTF-8")
        if action == Action.STRING_ITEM:
            _append(schema, name, text, found)
        else:
            found[name] = text


def _take_number(
    schema: Schema[Any], entry: tuple[str, int, Any], number: int, found: dict[str, Any]
) -> None:
    name, action, kind = entry
    if action == Action.NUMBER_ITEM:
        _append(schema, name, _narrow(kind, number), found)
    else:
        found[name] = _narrow(action, number)


def _append(schema: Schema[Any], name: str, item: object, found: dict[str, Any]) -> None:
    items = found.setdefault(name, [])
    if len(items) >= MAX_ITEMS:
        raise Refusal("abci.too-many", f"{schema!r} has more than {MAX_ITEMS} {name}")
    items.append(item)


def _narrow(kind: int, number: int) -> int:
    """Read 64 bits as a number of a kind; what does not fit is cut off, as proto3 says."""
    if kind == Kind.INT64:
        return number if number < 1 << 63 else number - (1 << 64)
    if kind == Kind.INT32:
        number &= 0xFFFFFFFF
        return number if number < 1 << 31 else number - (1 << 32)
    if kind == Kind.UINT32:
        return number & 0xFFFFFFFF
    return number != 0 if kind == Kind.BOOL else number


def _skip(schema: Schema[Any], tag: int, data: bytes, at: int, end: int) -> int:
    """Pass over a field that no table knows and return where it ends."""
    number, wire_type = tag >> 3, tag & 7
    if not 0 < number < 1 << 29:
        _refuse(schema, f"has a field of the number {number}")
    if number in schema.numbers:
        _refuse(schema, f"has a field {number} of the wrong wire type {wire_type}")
    if wire_type == VARINT:
        _, at = read_varint(data, at)
    elif wire_type == FIXED64:
        at += 8
    elif wire_type == DELIMITED:
        size, at = read_varint(data, at)
        at += size
    elif wire_type == FIXED32:
        at += 4
    else:
        _refuse(schema, f"has a field {number} of wire type {wire_type}")
    if at > end:
        _refuse(schema, "ends within a field")
    return at


def _refuse(schema: Schema[Any], what: str) -> NoReturn:
    raise Refusal(
        "abci.malformed",
        f"{schema!r} {what}",
        hint="the engine must be CometBFT v0.38, and nothing else may use this socket",
    )


# -------------------------------------------------------------------------------------- encoding

_LIMITS: Final = {
    Kind.UINT64: (0, (1 << 64) - 1),
    Kind.INT64: (-(1 << 63), (1 << 63) - 1),
    Kind.UINT32: (0, (1 << 32) - 1),
    Kind.INT32: (-(1 << 31), (1 << 31) - 1),
    Kind.BOOL: (0, 1),
}


def encode(schema: Schema[T], value: T) -> bytes:
    """Encode a message: fields in the order of the table, defaults left out.

    Raises:
        Misuse: `abci.unencodable` for a value outside its field's range: a bug of the caller.
    """
    values = schema.get(value)
    if values == schema.blank:
        return b""
    if schema.choice and sum(held is not None for held in values) > 1:
        raise Misuse("abci.unencodable", f"{schema!r} holds more than one choice")
    out = bytearray()
    for (tag, kind, many, blank), held in zip(schema.rows, values, strict=True):
        if held == blank:
            continue
        if not isinstance(kind, Schema) and kind < Kind.BYTES:
            out += tag
            if many:
                _append_packed(out, schema, kind, held)
            else:
                append_varint(out, _check_number(schema, kind, held))
            continue
        for item in held if many else (held,):
            inner = (
                encode(kind, item)
                if isinstance(kind, Schema)
                else _encode_bytes(schema, kind, item)
            )
            out += tag
            append_varint(out, len(inner))
            out += inner
    return bytes(out)


def _append_packed(
    out: bytearray, schema: Schema[Any], kind: Kind, numbers: tuple[int, ...]
) -> None:
    inner = bytearray()
    for number in numbers:
        append_varint(inner, _check_number(schema, kind, number))
    append_varint(out, len(inner))
    out += inner


def _encode_bytes(schema: Schema[Any], kind: Kind, item: object) -> bytes:
    if kind == Kind.BYTES and isinstance(item, bytes):
        return item
    if kind != Kind.BYTES and isinstance(item, str):
        try:
            return item.encode()
        except UnicodeEncodeError:
            pass
    raise Misuse("abci.unencodable", f"{schema!r} cannot hold {item!r:.80} as {kind.name}")


def _check_number(schema: Schema[Any], kind: Kind, item: Any) -> int:
    low, high = _LIMITS[kind]
    if not isinstance(item, int) or not low <= item <= high:
        raise Misuse("abci.unencodable", f"{schema!r} cannot hold {item!r:.80} as {kind.name}")
    return item if item >= 0 else item + (1 << 64)
