"""Chat templates: messages in, the text that the model was trained to continue out.

A template is a stranger's program. It runs in jinja's immutable sandbox with little to call, and
whatever could grow is counted where it grows: turns of loops, calls, texts that are joined, lists
that are made, numbers. So it ends soon and stays small, whatever it does. A user's text that spells
one of the model's special tokens is found by where it stands (`render_parts`), so that it can be
read as text. Must not know tokens. Source: jinja2's sandbox; Hugging Face's chat templates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType
from typing import Any, Final

from jinja2 import Template, TemplateError, TemplateSyntaxError, Undefined, nodes
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from probatum.errors import Refusal
from probatum.protocol import limits

__all__ = ["MESSAGES", "TEMPLATE_BYTES", "ChatMessage", "ChatTemplate", "Part"]

TEMPLATE_BYTES: Final = 64 * limits.KIB
MESSAGES: Final = 1_024
"""Of one conversation."""
_WORK: Final = 2_000_000
"""Of one rendering: a character joined, an element listed, counts one, a turn or a call ten."""
_TURN: Final = 10
_NODES: Final = 10_000
_RANGE: Final = 1_000
_WHOLE: Final = 1 << 53
_DEPTH: Final = 16
_TOKENS: Final = 400
"""Of one tag: what is nested deeper than that would run into the machine's own stack."""
_BLOCKS: Final = 32
_CALLS: Final = 16
"""Macros that may be inside one another: each takes several of the machine's own frames."""
_TESTS: Final = frozenset(
    {"defined", "even", "false", "mapping", "none", "odd", "sequence", "string", "true",
     "undefined"}
)  # fmt: skip
_METHODS: Final = frozenset(
    {"endswith", "get", "items", "keys", "lower", "lstrip", "rstrip", "split", "startswith",
     "strip", "title", "upper", "values"}
)  # fmt: skip
_REFUSED: Final = (
    nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Block, nodes.CallBlock,
    nodes.FilterBlock, nodes.AssignBlock, nodes.EvalContextModifier,
    nodes.ScopedEvalContextModifier,
)  # fmt: skip
_PRIVATE: Final = range(0xE000, 0xF8FF)
"""Characters that mean nothing in Unicode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatMessage:
    """One message of a conversation."""

    role: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a rendered text; `is_literal` if special tokens in it are but text."""

    text: str
    is_literal: bool


class _Meter:
    """Counts what one rendering does."""

    def __init__(self) -> None:
        self._left = _WORK

    def charge(self, work: int) -> None:
        """Count work. Raises Refusal `template.too-much`."""
        self._left -= work
        if self._left < 0:
            raise Refusal(
                "template.too-much",
                "the chat template does more than one rendering may",
                hint="shorten the conversation, or tell the model's publisher",
            )

    def weigh(self, value: Any, depth: int = 0) -> None:
        """Count a value with all that is in it, however often: nothing grows by sharing."""
        if depth > _DEPTH:
            raise _refuse("it nests lists too deep")
        if isinstance(value, str):
            self.charge(1 + len(value) // 64)
        elif isinstance(value, Mapping):
            self.charge(1 + len(value))
            for one in value.values():
                self.weigh(one, depth + 1)
        elif isinstance(value, list | tuple):
            self.charge(1 + len(value))
            for one in value:
                self.weigh(one, depth + 1)
        else:
            self.charge(1)

    def print(self, value: Any) -> str:
        """Turn a plain value into text, counted."""
        if not isinstance(value, str | int | float | Undefined | None):
            raise _refuse(f"it prints a {type(value).__name__}")
        text = str(value)
        self.charge(1 + len(text))
        return text


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, with everything that could grow counted. One for each rendering."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self, meter: _Meter) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,
            cache_size=0,
            finalize=meter.print,
            extensions=["jinja2.ext.loopcontrols"],
        )
        self._meter = meter
        self._calls = 0
        self.filters = {
            "capitalize": self._change(str.capitalize),
            "default": _default,
            "first": lambda value: next(iter(self._turn(value)), self.undefined("first")),
            "join": self._join,
            "last": lambda value: next(reversed(self._turn(value)), self.undefined("last")),
            "length": len,
            "list": self._list,
            "lower": self._change(str.lower),
            "string": meter.print,
            "trim": self._change(str.strip),
            "upper": self._change(str.upper),
            "_turns": self._turn,
            "_weighed": self._weigh,
            "_text": self._concatenate,
        }
        self.tests = {name: self.tests[name] for name in sorted(_TESTS)}
        self.globals = {"namespace": Namespace, "range": self._range, "raise_exception": _say}

    def call(self, context: Any, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        self._meter.charge(_TURN)
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, str | Mapping):
            if obj.__name__ not in _METHODS:
                raise _refuse(f"it calls {obj.__name__}")
            self._meter.weigh(owner)
            self._meter.charge(len(owner))
        elif not isinstance(obj, Macro) and obj not in self.globals.values():
            raise _refuse("it calls what is not there")
        if self._calls >= _CALLS:
            raise _refuse("its macros call one another too deep")
        self._calls += 1
        try:
            return super().call(context, obj, *args, **kwargs)
        finally:
            self._calls -= 1

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        sides = (left, right)
        if operator == "+" and all(isinstance(side, str) for side in sides):
            self._meter.charge(1 + len(left) + len(right))
        elif operator == "+" and all(isinstance(side, list) for side in sides):
            self._meter.weigh(left)
            self._meter.weigh(right)
        elif operator == "**" or not all(isinstance(side, int | float) for side in sides):
            raise _refuse(f"it computes {operator} of what is no number")
        self._meter.charge(1)
        result = super().call_binop(context, operator, left, right)
        if isinstance(result, int) and abs(result) >= _WHOLE:
            raise _refuse("its numbers grow too large")
        return result

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(argument, slice):
            self._meter.charge(1 + len(obj))
        elif not isinstance(argument, str | int):
            raise _refuse(f"it looks up a {type(argument).__name__}")
        return super().getitem(obj, argument)

    def _change(self, change: Callable[[str], str]) -> Callable[[Any], str]:
        return lambda value: change(self._meter.print(value))

    def _join(self, values: Any, between: str = "") -> str:
        listed = self._turn(values)
        pieces = [self._meter.print(value) for value in listed]
        self._meter.charge(len(between) * len(pieces))
        return between.join(pieces)

    def _list(self, values: Any) -> list[Any]:
        listed = self._turn(values)
        self._meter.weigh(listed)
        return listed

    def _turn(self, values: Any) -> list[Any]:
        """List what a loop goes through, each turn counted."""
        if isinstance(values, Undefined):
            return []
        if not isinstance(values, Iterable):
            raise _refuse(f"it loops over a {type(values).__name__}")
        listed = []
        for value in values:
            self._meter.charge(_TURN)
            listed.append(value)
        return listed

    def _weigh(self, value: Any) -> Any:
        self._meter.weigh(value)
        return value

    def _concatenate(self, values: list[Any]) -> str:
        return "".join(map(self._meter.print, values))

    def _range(self, *bounds: int) -> range:
        found = range(*bounds)
        if len(found) > _RANGE:
            raise _refuse(f"it counts beyond {_RANGE}")
        return found


class ChatTemplate:
    """A package's chat template; safe on any thread."""

    def __init__(self, source: str) -> None:
        """Read a template.

        Raises:
            Refusal: `template.bad-form`.
        """
        if len(source.encode()) > TEMPLATE_BYTES:
            raise _bad_form(f"it has more than {TEMPLATE_BYTES} bytes")
        with _guard():
            self._code = _compile(source)

    def render(self, messages: Sequence[ChatMessage]) -> str:
        """Make the text that the model is to continue.

        Raises:
            Refusal: `template.too-much`, `template.refused`, `template.bad-form`,
                `template.too-many-messages`.
        """
        if len(messages) > MESSAGES:
            raise Refusal(
                "template.too-many-messages", f"a conversation has at most {MESSAGES} messages"
            )
        meter = _Meter()
        environment = _Environment(meter)
        said = [{"role": one.role, "content": one.content} for one in messages]
        meter.weigh(said)
        with _guard():
            names = environment.make_globals(None)
            template = Template.from_code(environment, self._code, names)
            return template.render(messages=said, add_generation_prompt=True)

    def render_parts(
        self, messages: Sequence[ChatMessage], special: Sequence[str]
    ) -> tuple[Part, ...]:
        """Render, and tell the template's special tokens from a message's text that spells them.

        Args:
            messages: The conversation.
            special: How the model's special tokens are spelled.

        Raises:
            Refusal: As `render`.
        """
        contents = [one.content for one in messages]
        spelled = [token for token in special if any(token in text for text in contents)]
        if not spelled:
            return (Part(text=self.render(messages), is_literal=False),)
        # Each is hidden behind one character that nobody wrote, and found again by it.
        marks = [chr(code) for code in _PRIVATE if not any(chr(code) in text for text in contents)][
            : len(spelled)
        ]
        if len(marks) < len(spelled):
            raise _refuse("a message holds too many characters without meaning")
        # The longest first: one token's spelling may hold another's.
        hidden = dict(zip(sorted(spelled, key=len, reverse=True), marks, strict=True))
        text = self.render([_hide(one, hidden) for one in messages])
        shown = {mark: token for token, mark in hidden.items()}
        pieces = re.split(f"([{re.escape(''.join(marks))}])", text)
        return tuple(
            Part(text=shown.get(piece, piece), is_literal=piece in shown)
            for piece in pieces
            if piece
        )


def _hide(message: ChatMessage, hidden: Mapping[str, str]) -> ChatMessage:
    content = message.content
    for token, mark in hidden.items():
        content = content.replace(token, mark)
    return ChatMessage(role=message.role, content=content)


def _compile(source: str) -> CodeType:
    """Compile a template with its loops, literals, joins and comparisons counted."""
    environment = _Environment(_Meter())
    _check_nesting(environment, source)
    tree = environment.parse(source)
    if sum(1 for _ in tree.find_all(nodes.Node)) > _NODES:
        raise _bad_form("it is too long")
    for node in tree.find_all(_REFUSED):
        raise _bad_form(f"it uses {type(node).__name__.lower()}")
    for loop in tree.find_all(nodes.For):
        if loop.recursive:
            raise _bad_form("it uses recursive loops")
        loop.iter = _filter(loop.iter, "_turns")
    for comparison in tree.find_all(nodes.Compare):
        comparison.expr = _filter(comparison.expr, "_weighed")
        for operand in comparison.ops:
            operand.expr = _filter(operand.expr, "_weighed")
    rewritten: nodes.Template = _Rewriting().visit(tree)
    return environment.compile(rewritten)


def _check_nesting(environment: _Environment, source: str) -> None:
    """Check that neither expressions nor blocks can be nested deep."""
    tokens = blocks = 0
    begins = False
    for _, kind, value in environment.lex(source):
        if kind in {"block_begin", "variable_begin"}:
            tokens, begins = 0, kind == "block_begin"
        elif kind != "whitespace":
            tokens += 1
            if begins:
                blocks += 1 if value in {"if", "for", "macro"} else -value.startswith("end")
                begins = False
        if tokens > _TOKENS or blocks > _BLOCKS:
            raise _bad_form("it is nested too deep, or a tag of it is too long")


class _Rewriting(NodeTransformer):
    """Puts filters around what makes new values."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - jinja's naming
        self.generic_visit(node)
        return _filter(nodes.List(node.nodes, lineno=node.lineno), "_text")

    def visit_List(self, node: nodes.List) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filter(node, "_weighed")

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filter(node, "_weighed") if node.ctx == "load" else node

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filter(node, "_weighed")


def _filter(node: Any, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


@contextmanager
def _guard() -> Iterator[None]:
    """Turn whatever a template does wrong into a refusal.

    Raises:
        Refusal: `template.refused`, `template.bad-form`, `template.too-much`.
    """
    try:
        yield
    except (TemplateSyntaxError, SyntaxError) as error:
        raise _bad_form(str(error)) from None
    except (TemplateError, RecursionError, MemoryError) as error:
        raise _refuse(f"it fails: {error}") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise _refuse(f"it fails: {type(error).__name__}: {error}") from None


def _default(value: Any, other: Any = "", boolean: bool = False) -> Any:  # noqa: FBT001, FBT002
    return other if isinstance(value, Undefined) or (boolean and not value) else value


def _say(message: object) -> None:
    """What templates call to refuse a conversation."""
    raise _refuse(f"it says: {message}" if isinstance(message, str) else "it gives no reason")


def _refuse(why: str) -> Refusal:
    return Refusal(
        "template.refused",
        f"the model's chat template does not take this conversation: {why[:300]}",
        hint="see the model's card for the roles and their order",
    )


def _bad_form(why: str) -> Refusal:
    return Refusal("template.bad-form", f"the package's chat template is not taken: {why[:300]}")
