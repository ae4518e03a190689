"""What a chat template runs in: jinja's immutable sandbox, with all that could grow counted.

A template is a stranger's program. It has little to call, and whatever could grow is counted where
it grows: turns of loops, what a turn steps through, calls, texts that are written, joined or cut,
lists that are made, numbers. So it ends soon and stays small, whatever it does. Must not know
conversations. Source: jinja2's sandbox. Read next: `template`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import CodeType
from typing import Any, Final

from jinja2 import TemplateError, TemplateSyntaxError, Undefined, nodes, pass_context
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from probatum.errors import Refusal

__all__ = [
    "WORK",
    "Meter",
    "Sandbox",
    "compile_template",
    "guard_template",
    "make_bad_form",
    "make_refused",
]

WORK: Final = 2_000_000
"""Of one rendering at most: a character or an element listed counts one, a turn or a call ten."""
_TURN: Final = 10
_NODES_A_UNIT: Final = 4
"""What a turn or a macro's call steps through counts by how much of the template that is."""
_STRIPPED: Final = 256
"""Characters that a text may be stripped of: each of its own is looked for among them."""
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


class Meter:
    """Counts what one rendering does. Every method raises Refusal `template.too-much`."""

    def __init__(self, work: int = WORK) -> None:
        self._left = work

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
            raise make_refused("it nests lists too deep")
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
            raise make_refused(f"it prints a {type(value).__name__}")
        text = str(value)
        self.charge(1 + len(text))
        return text


class Sandbox(ImmutableSandboxedEnvironment):
    """The sandbox, with everything that could grow counted. One for each rendering."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self, meter: Meter) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,
            cache_size=0,
            finalize=self._print,
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
            "_searched": self._search,
            "_cut": self._cut,
            "_stepped": meter.charge,
            "_text": self._concatenate,
        }
        self.tests = {name: self.tests[name] for name in sorted(_TESTS)}
        self.globals = {"namespace": Namespace, "range": self._range, "raise_exception": _say}

    def call(self, context: Any, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call what may be called."""
        self._meter.charge(_TURN)
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, str | Mapping):
            if obj.__name__ not in _METHODS:
                raise make_refused(f"it calls {obj.__name__}")
            self._meter.weigh(owner)
            self._meter.charge(len(owner))
            if "strip" in obj.__name__ and any(len(one) > _STRIPPED for one in args if one):
                raise make_refused("it strips a text of too many characters")
        elif not isinstance(obj, Macro) and obj not in self.globals.values():
            raise make_refused("it calls what is not there")
        if self._calls >= _CALLS:
            raise make_refused("its macros call one another too deep")
        self._calls += 1
        try:
            return super().call(context, obj, *args, **kwargs)
        finally:
            self._calls -= 1

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Compute with numbers, and join texts and lists."""
        sides = (left, right)
        if operator == "+" and all(isinstance(side, str) for side in sides):
            self._meter.charge(1 + len(left) + len(right))
        elif operator == "+" and all(isinstance(side, list) for side in sides):
            self._meter.weigh(left)
            self._meter.weigh(right)
        elif operator == "**" or not all(isinstance(side, int | float) for side in sides):
            raise make_refused(f"it computes {operator} of what is no number")
        self._meter.charge(1)
        result = super().call_binop(context, operator, left, right)
        if isinstance(result, int) and abs(result) >= _WHOLE:
            raise make_refused("its numbers grow too large")
        return result

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Look up by a name or a number."""
        if not isinstance(argument, str | int):
            raise make_refused(f"it looks up a {type(argument).__name__}")
        return super().getitem(obj, argument)

    @pass_context
    def _print(self, _: Context, value: Any) -> str:
        # What asks for the context is never folded into constants, which nothing would count.
        return self._meter.print(value)

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
            raise make_refused(f"it loops over a {type(values).__name__}")
        listed = []
        for value in values:
            self._meter.charge(_TURN)
            listed.append(value)
        return listed

    def _weigh(self, value: Any) -> Any:
        self._meter.weigh(value)
        return value

    def _search(self, value: Any) -> Any:
        self._meter.weigh(value)
        if isinstance(value, str):
            self._meter.charge(len(value) // 8)
        return value

    def _cut(self, value: Any) -> Any:
        if not isinstance(value, str | list | tuple | Undefined):
            raise make_refused(f"it cuts a {type(value).__name__}")
        self._meter.charge(1 + len(value))
        return value

    def _concatenate(self, values: list[Any]) -> str:
        return "".join(map(self._meter.print, values))

    def _range(self, *bounds: int) -> range:
        found = range(*bounds)
        if len(found) > _RANGE:
            raise make_refused(f"it counts beyond {_RANGE}")
        return found


def compile_template(source: str) -> CodeType:
    """Compile a template with its loops, literals, joins and comparisons counted."""
    environment = Sandbox(Meter())
    _check_nesting(environment, source)
    tree = environment.parse(source)
    if sum(1 for _ in tree.find_all(nodes.Node)) > _NODES:
        raise make_bad_form("it is too long")
    for node in tree.find_all(_REFUSED):
        raise make_bad_form(f"it uses {type(node).__name__.lower()}")
    for loop in tree.find_all(nodes.For):
        if loop.recursive:
            raise make_bad_form("it uses recursive loops")
        loop.iter = _filter(loop.iter, "_turns")
    for comparison in tree.find_all(nodes.Compare):
        comparison.expr = _filter(comparison.expr, "_weighed")
        for operand in comparison.ops:
            searched = operand.op in {"in", "notin"}
            operand.expr = _filter(operand.expr, "_searched" if searched else "_weighed")
    rewritten: nodes.Template = _Rewriting().visit(tree)
    return environment.compile(rewritten)


def _check_nesting(environment: Sandbox, source: str) -> None:
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
            raise make_bad_form("it is nested too deep, or a tag of it is too long")


class _Rewriting(NodeTransformer):
    """Puts filters around what makes new values, and steps that are counted into what repeats."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - jinja's naming
        return self._count(node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802
        return self._count(node)

    def _count(self, node: Any) -> nodes.Node:
        work = sum(1 for _ in node.find_all(nodes.Node)) // _NODES_A_UNIT
        self.generic_visit(node)
        step = _filter(nodes.Const(work, lineno=node.lineno), "_stepped")
        node.body.insert(0, nodes.ExprStmt(step, lineno=node.lineno))
        return node  # type: ignore[no-any-return]

    def visit_TemplateData(self, node: nodes.TemplateData) -> nodes.Node:  # noqa: N802
        # As a constant it is written through the meter, like all else.
        return nodes.Const(node.data, lineno=node.lineno)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _filter(node.node, "_cut")
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
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
def guard_template() -> Iterator[None]:
    """Turn whatever a template does wrong into a refusal.

    Raises:
        Refusal: `template.refused`, `template.bad-form`, `template.too-much`.
    """
    try:
        yield
    except (TemplateSyntaxError, SyntaxError) as error:
        raise make_bad_form(str(error)) from None
    except (TemplateError, RecursionError, MemoryError) as error:
        raise make_refused(f"it fails: {error}") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise make_refused(f"it fails: {type(error).__name__}: {error}") from None


def _default(value: Any, other: Any = "", boolean: bool = False) -> Any:  # noqa: FBT001, FBT002
    return other if isinstance(value, Undefined) or (boolean and not value) else value


def _say(message: object) -> None:
    """What templates call to refuse a conversation."""
    raise make_refused(f"it says: {message}" if isinstance(message, str) else "it gives no reason")


def make_refused(why: str) -> Refusal:
    """Make the refusal of a conversation."""
    return Refusal(
        "template.refused",
        f"the model's chat template does not take this conversation: {why[:300]}",
        hint="see the model's card for the roles and their order",
    )


def make_bad_form(why: str) -> Refusal:
    """Make the refusal of a template."""
    return Refusal("template.bad-form", f"the package's chat template is not taken: {why[:300]}")
