"""The text of a configuration file: every setting with what it means, from one table.

The table is the struct itself: each field's type carries an `About`, and name, bounds and default
are the field's own, so the comments cannot say anything else than what is read. Must not know any
setting, nor where files lie. Read next: `config`.
"""

from __future__ import annotations

import difflib
import re
import textwrap
import tomllib
from dataclasses import dataclass
from typing import Any, Final, TypeVar, get_type_hints

import msgspec

from probatum.errors import Misuse, Refusal

__all__ = ["About", "Setting", "change_text", "decode_text", "encode_text", "list_settings"]

_WIDTH: Final = 96
_ENDLESS: Final = 1 << 50
"""A bound above this is no use to a person."""
_BYTES: Final = "bytes"
_PATH: Final = re.compile(r"`\$\.(\w+)")
_C = TypeVar("_C", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a person is told of a setting.

    Attributes:
        says: What it is, in a sentence.
        change: When to change it, in a sentence; empty for what is never changed by hand.
        unit: What its number counts; empty for texts, choices and plain counts.
        example: For a setting that may be absent: what it could be.
    """

    says: str
    change: str = ""
    unit: str = ""
    example: str | float | tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting as a person sees it.

    Attributes:
        name: Its name in the file.
        about: What it means.
        takes: Which values are taken, with the unit.
        default: The value that it has if the file does not name it, as the file would write it;
            None if the file must name it, empty if the default is to have none.
    """

    name: str
    about: About
    takes: str
    default: str | None


def list_settings(kind: type[msgspec.Struct]) -> tuple[Setting, ...]:
    """List the settings of a kind of file, in the order in which its file has them.

    Raises:
        Misuse: `config.undescribed` for a field without an `About`: a setting that nobody
            explains is not finished.
    """
    hints = get_type_hints(kind, include_extras=True)
    found = []
    fields = msgspec.inspect.type_info(kind)
    assert isinstance(fields, msgspec.inspect.StructType)
    for field in fields.fields:
        about = next(
            (note for note in _list_notes(hints[field.name]) if isinstance(note, About)), None
        )
        if about is None:
            raise Misuse("config.undescribed", f"{kind.__name__}.{field.name} has no About")
        default = None if field.required else _write_default(field.default)
        takes = _describe(field.type, about.unit)
        found.append(Setting(name=field.name, about=about, takes=takes, default=default))
    return tuple(found)


def encode_text(config: msgspec.Struct) -> str:
    """Write a configuration with all there is to know of each setting.

    What has its default stands there as a comment, so that a later version's default takes its
    place unless somebody has decided otherwise.
    """
    kind = type(config)
    role, values = _get_role(kind), msgspec.to_builtins(config)
    lines = [
        f"# The configuration of a node of role {role}, read once, when the node starts.",
        "# A line that begins with #name shows a default: take the # away to change it.",
        "",
        f"role = {_write_value(role)}",
    ]
    for setting in list_settings(kind):
        lines += ["", *_explain(setting), _write_line(setting, values[setting.name])]
    return "\n".join(lines) + "\n"


def decode_text(text: str, kind: type[_C]) -> _C:
    """Read a configuration, strictly.

    Raises:
        Refusal: `config.malformed` for what is no TOML, lacks a setting or has a value that is
            not taken; `config.other-role`; `config.unknown-setting` with the nearest name.
    """
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        hint = 'a line reads like name = 5, name = "text" or name = true'
        raise Refusal("config.malformed", str(error), hint=hint) from None
    role = _get_role(kind)
    if found.get("role") != role:
        raise Refusal(
            "config.other-role",
            f"role is {found.get('role', 'not named')!s:.40}, not {role}",
            hint=f'name the home of a node of this role, or write role = "{role}"',
        )
    settings = {setting.name: setting for setting in list_settings(kind)}
    for name in found:
        if name != "role" and name not in settings:
            raise _refuse_unknown(name, tuple(settings), role)
    try:
        return msgspec.convert(found, kind, strict=True)
    except msgspec.ValidationError as error:
        match = _PATH.search(str(error))
        setting = settings.get(match[1]) if match else None
        hint = "write each setting that has no default"
        if setting is not None:
            hint = f"{setting.name}: {setting.about.says} {setting.takes}".strip()
        raise Refusal("config.malformed", str(error), hint=hint) from None


def change_text(text: str, config: msgspec.Struct) -> str:
    """Write a changed configuration into its file's text; comments that people wrote stay.

    A text that says it in a form that cannot be changed line by line is written anew.
    """
    kind = type(config)
    values = msgspec.to_builtins(config)
    said = msgspec.to_builtins(decode_text(text, kind))
    lines = text.splitlines()
    for setting in list_settings(kind):
        value = values[setting.name]
        if value == said[setting.name]:
            continue
        pattern = re.compile(rf"#?\s*{setting.name}\s*=")
        at = [place for place, line in enumerate(lines) if pattern.match(line)]
        if len(at) != 1:
            return encode_text(config)
        lines[at[0]] = _write_line(setting, value)
    changed = "\n".join(lines) + "\n"
    try:
        is_true = decode_text(changed, kind) == config
    except Refusal:
        is_true = False
    return changed if is_true else encode_text(config)


def _refuse_unknown(name: str, names: tuple[str, ...], role: str) -> Refusal:
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}?" if near else "there are: " + ", ".join(names)
    message = f"a node of role {role} has no setting {name[:80]!r}"
    return Refusal("config.unknown-setting", message, hint=hint)


def _get_role(kind: type[msgspec.Struct]) -> str:
    return str(kind.__struct_config__.tag)


def _list_notes(hint: Any) -> tuple[object, ...]:
    return getattr(hint, "__metadata__", ())


def _write_default(default: object) -> str:
    return "" if default is None else _write_value(default)


def _write_value(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:_}"
    # JSON's strings, numbers and arrays of strings are TOML's too.
    return msgspec.json.encode(value).decode()


def _write_line(setting: Setting, value: object) -> str:
    written = _write_default(value)
    if setting.default is None or written != setting.default:
        # What may be absent and is: shown as it could be.
        if written == "":
            return f"#{setting.name} = {_write_value(setting.about.example)}"
        return f"{setting.name} = {written}"
    return f"#{setting.name} = {written or _write_value(setting.about.example)}"


def _explain(setting: Setting) -> list[str]:
    lines = textwrap.wrap(setting.about.says, _WIDTH)
    facts = [setting.takes] if setting.takes else []
    if setting.default is not None:
        shown = setting.default or "none"
        if setting.about.unit == _BYTES and setting.default:
            shown = _say_bytes(int(setting.default))
        facts.append(f"Default: {shown}.")
    if facts:
        lines.append(" ".join(facts))
    if setting.about.change:
        lines += textwrap.wrap(f"Change it {setting.about.change}", _WIDTH)
    return [f"# {line}" for line in lines]


def _describe(kind: msgspec.inspect.Type, unit: str) -> str:
    """Say which values a type takes."""
    match kind:
        case msgspec.inspect.UnionType(types=types):
            return " ".join(
                _describe(one, unit)
                for one in types
                if not isinstance(one, msgspec.inspect.NoneType)
            )
        case msgspec.inspect.BoolType():
            return "true or false."
        case (
            msgspec.inspect.IntType(ge=least, le=most)
            | msgspec.inspect.FloatType(ge=least, le=most)
        ):
            if isinstance(kind, msgspec.inspect.FloatType) and least is None:
                least = kind.gt
            if unit == _BYTES:
                return f"{_say_bytes(int(least or 0))} to {_say_bytes(int(most or 0))}, in bytes."
            bounded = most is not None and most < _ENDLESS
            span = f"{least or 0:_} to {most:_}" if bounded else f"{least or 0:_} or more"
            return f"{span}{' ' + unit if unit else ''}."
        case msgspec.inspect.VarTupleType(item_type=msgspec.inspect.IntType()):
            return "A list of whole numbers."
        case msgspec.inspect.CollectionType() | msgspec.inspect.VarTupleType():
            return "A list of texts."
        case _:
            return ""


def _say_bytes(count: int) -> str:
    for power, name in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count >> power << power == count and count >> power:
            return f"{count >> power} {name}"
    return f"{count:_}"
