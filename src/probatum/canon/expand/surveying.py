"""Finds every reason why an ONNX file has no canonical graph, not the first alone (`PUB-1`).

Where a node cannot be expanded the survey notes why, takes what it computes for lost, and goes on;
what reads something lost is passed over, unless its operator is unknown too. Must not know bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import onnx

from probatum.canon.expand.builder import Builder
from probatum.canon.expand.expansion import Expanded, finish_walk, open_scope
from probatum.canon.expand.loading import Loaded, load_model, make_dim_name
from probatum.canon.expand.scopes import Scope
from probatum.canon.expand.values import Known
from probatum.canon.expand.walking import Walk
from probatum.errors import Refusal

__all__ = ["Survey", "list_dims", "survey_model"]

_ASSUMED: Final = (1, 16)
"""Range of a dim that has none, so that the rest can be looked at."""
_UNKNOWN: Final = "canon.unknown-operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """The outcome of a survey.

    Attributes:
        reasons: Why the file has no canonical graph, each once; none if it has one.
        expanded: The graph, if it has one.
    """

    reasons: tuple[Refusal, ...]
    expanded: Expanded | None


def survey_model(
    data: bytes, *, ranges: Mapping[str, tuple[int, int]], bind: Mapping[str, Known]
) -> Survey:
    """Expand a file that was admitted, or list why that cannot be.

    Args:
        data: The ONNX file.
        ranges: Least and greatest admitted value of each named dim.
        bind: Inputs that the package binds to constants.
    """
    try:
        named = list_dims(data, frozenset(bind))
        reasons = _check_ranges(named, ranges)
        assumed = {**dict.fromkeys(named, _ASSUMED), **ranges}
        loaded = load_model(data, assumed, frozenset(bind))
    except Refusal as refusal:
        return Survey(reasons=(refusal,), expanded=None)
    walk = _SurveyWalk(loaded, assumed, reasons)
    scope = open_scope(loaded, bind)
    expanded: Expanded | None = None
    try:
        walk.run(loaded.graph, scope, depth=0)
        expanded = finish_walk(walk, loaded, scope)
    except Refusal as refusal:
        walk.note(refusal)
    if walk.reasons:
        return Survey(reasons=tuple(walk.reasons.values()), expanded=None)
    return Survey(reasons=(), expanded=expanded)


class _SurveyWalk(Walk):
    """Goes on where a node cannot be expanded."""

    def __init__(
        self,
        loaded: Loaded,
        ranges: Mapping[str, tuple[int, int]],
        reasons: tuple[Refusal, ...],
    ) -> None:
        super().__init__(loaded, Builder(ranges))
        self.reasons = {(one.code, one.message): one for one in reasons}
        self._has_lost = False

    def step(self, proto: onnx.NodeProto, scope: Scope, *, depth: int) -> None:
        """Expand one node, or note why not."""
        try:
            super().step(proto, scope, depth=depth)
        except Refusal as refusal:
            self.note(refusal)

    def note(self, refusal: Refusal) -> None:
        """Note a reason, unless it merely follows from an earlier one."""
        if self._has_lost and refusal.code == "canon.unknown-name":
            return
        self._has_lost = True
        # An operator without meaning is one reason, however many nodes are of it.
        said = refusal.message
        key = said.split(": ", 1)[-1] if refusal.code == _UNKNOWN else said
        self.reasons.setdefault((refusal.code, key), refusal)


def list_dims(data: bytes, bound: frozenset[str]) -> dict[str, str]:
    """List the dims that a file's inputs leave open, and of which input each is.

    Raises:
        Refusal: `canon.bad-model`, `canon.no-such-input`.
    """
    try:
        graph = onnx.load_model_from_string(data).graph
    except Exception as error:  # noqa: BLE001 - the library raises what it likes
        raise Refusal("canon.bad-model", f"the file cannot be read: {error}"[:500]) from None
    known = {one.name for one in graph.initializer} | bound
    missing = sorted(bound - {one.name for one in graph.input})
    if missing:
        raise Refusal(
            "canon.no-such-input", f"the model has no input {', '.join(map(repr, missing))[:200]}"
        )
    return {
        make_dim_name(dim.dim_param, one.name, axis): one.name
        for one in reversed(graph.input)
        if one.name not in known
        for axis, dim in enumerate(one.type.tensor_type.shape.dim)
        if not dim.HasField("dim_value")
    }


def _check_ranges(
    named: Mapping[str, str], ranges: Mapping[str, tuple[int, int]]
) -> tuple[Refusal, ...]:
    found = [
        Refusal(
            "canon.dim-without-range",
            f"the dim {name!r} of {named[name]!r} has no range",
            hint=f"say which values are admitted, as in {name}=1..16",
        )
        for name in sorted(set(named) - set(ranges))
    ]
    found += [
        Refusal(
            "canon.no-such-dim",
            f"no input has a dim {name!r}",
            hint=f"the model leaves open: {', '.join(sorted(named)) or 'none'}",
        )
        for name in sorted(set(ranges) - set(named))
    ]
    return tuple(found)
