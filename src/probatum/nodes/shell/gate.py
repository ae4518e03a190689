"""Who may ask at a door, how often, and how much at one time: decided before a body is read.

Without a key somebody is *anybody*, known by the address that the connection comes from. Rates
are token buckets that hold one second's worth. Must not know what is asked.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from starlette.types import Scope

from probatum.errors import Refusal
from probatum.nodes.shell.api_keys import ApiKey, ApiKeys, looks_like_key
from probatum.nodes.shell.problems import TryLater

__all__ = ["Gate", "GateRules"]

_REMEMBERED: Final = 8_192
"""Callers with an allowance that is not full; the one that asked longest ago is forgotten first."""
_SCHEME: Final = "bearer "


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRules:
    """What a gate lets in.

    Attributes:
        at_once: Requests of all callers together at one time.
        anonymous: Whether anybody may ask without a key.
        anonymous_per_s: Requests a second of one address without a key; None for no limit.
        anonymous_at_once: Requests at one time of one address without a key; None for no limit.
    """

    at_once: int = 1_024
    anonymous: bool = True
    anonymous_per_s: float | None = None
    anonymous_at_once: int | None = None


@dataclass(slots=True)
class _Allowance:
    tokens: float
    at_s: float
    inside: int = 0


class Gate:
    """Counts who is inside."""

    def __init__(
        self,
        rules: GateRules | None = None,
        keys: ApiKeys | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a gate; without arguments it lets in anybody."""
        self._rules = rules or GateRules()
        self._keys = keys
        self._clock_s = clock_s
        self._inside = 0
        self._allowances: OrderedDict[str, _Allowance] = OrderedDict()

    @contextlib.contextmanager
    def enter(self, scope: Scope) -> Iterator[str]:
        """Let a request in for the length of a block; yield its caller, empty for anybody.

        Raises:
            Refusal: `door.no-key`, `door.unknown-key`, `door.revoked-key`.
            TryLater: `door.too-often`, `door.too-many-at-once`, `door.busy`.
        """
        key = self._find_key(scope)
        rules = self._rules
        if self._inside >= rules.at_once:
            raise TryLater("door.busy", f"{rules.at_once} requests are answered already", after_s=1)
        if key is None:
            name, per_s, at_once = (
                _name_address(scope),
                rules.anonymous_per_s,
                rules.anonymous_at_once,
            )
        else:
            name, per_s, at_once = f"key:{key.id}", key.per_s, key.at_once
        allowance = self._take(name, per_s, at_once)
        self._inside += 1
        allowance.inside += 1
        try:
            yield "" if key is None else name
        finally:
            self._inside -= 1
            allowance.inside -= 1

    def _find_key(self, scope: Scope) -> ApiKey | None:
        text = _read_key(scope)
        key = self._keys.find(text) if self._keys is not None and text else None
        if key is None and text and looks_like_key(text):
            raise Refusal("door.unknown-key", "this door does not know the API key")
        if key is None and not self._rules.anonymous:
            raise Refusal(
                "door.no-key",
                "this door answers only under an API key",
                hint="send it along: Authorization: Bearer pb-…; its operator makes keys",
            )
        if key is not None and key.revoked:
            raise Refusal("door.revoked-key", f"the API key {key.id} was revoked")
        return key

    def _take(self, name: str, per_s: float | None, at_once: int | None) -> _Allowance:
        """Take one request of a caller's allowance."""
        now_s = self._clock_s()
        burst = max(1.0, per_s or 1.0)
        allowance = self._allowances.pop(name, None) or _Allowance(burst, now_s)
        self._allowances[name] = allowance
        self._forget()
        if at_once is not None and allowance.inside >= at_once:
            raise TryLater(
                "door.too-many-at-once", f"{at_once} of your requests are answered", after_s=1
            )
        if per_s is not None:
            have = min(burst, allowance.tokens + (now_s - allowance.at_s) * per_s)
            allowance.tokens, allowance.at_s = have, now_s
            if have < 1:
                wait_s = math.ceil((1 - have) / per_s)
                raise TryLater(
                    "door.too-often", f"more than {per_s:g} requests a second", after_s=wait_s
                )
            allowance.tokens = have - 1
        return allowance

    def _forget(self) -> None:
        if len(self._allowances) <= _REMEMBERED:
            return
        for name in tuple(self._allowances):
            if len(self._allowances) <= _REMEMBERED:
                return
            if not self._allowances[name].inside:
                del self._allowances[name]


def _read_key(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"authorization":
            text: str = value.decode("latin-1").strip()
            if text[: len(_SCHEME)].lower() == _SCHEME:
                return text[len(_SCHEME) :].strip()
    return ""


def _name_address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""
