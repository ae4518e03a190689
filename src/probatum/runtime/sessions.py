"""Loaded sessions of several packages, the least recently used going first.

Must not know threads (its owner holds a lock) or where packages lie (its loader does).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias

from probatum.errors import Refusal
from probatum.protocol.manifests import Manifest
from probatum.protocol.primitives import Digest
from probatum.runtime.engine import EngineOptions
from probatum.runtime.limits import RequestLimits
from probatum.runtime.session import OnnxSession

__all__ = ["LoadPackage", "SessionCache"]

LoadPackage: TypeAlias = Callable[[Digest], tuple[Manifest, bytes]]
"""Gives a package's manifest and its model's bytes, or raises Refusal or Fault."""


class SessionCache:
    """Sessions by package, within a bound of estimated bytes."""

    def __init__(
        self,
        load: LoadPackage,
        *,
        limit_bytes: int,
        options: EngineOptions,
        limits: RequestLimits,
    ) -> None:
        """Make an empty cache.

        Args:
            load: Where packages come from; what it gives is checked again.
            limit_bytes: Bound of the sum of `OnnxSession.cost_bytes`.
            options: How sessions compute.
            limits: What one request may cost.
        """
        self._load = load
        self._limit_bytes = limit_bytes
        self._options = options
        self._limits = limits
        self._sessions: OrderedDict[Digest, OnnxSession] = OrderedDict()

    @property
    def held_bytes(self) -> int:
        """Estimated bytes of all sessions."""
        return sum(session.cost_bytes for session in self._sessions.values())

    def get(self, package: Digest) -> OnnxSession:
        """Get a package's session, loading it if needed.

        Raises:
            Refusal: `runtime.unverified` if the loader gives another package, `runtime.too-large`
                if the model alone exceeds the bound, those of `OnnxSession` and of the loader.
            Fault: Those of the loader.
        """
        session = self._sessions.get(package)
        if session is None:
            manifest, model = self._load(package)
            session = OnnxSession(manifest, model, options=self._options, limits=self._limits)
            if session.package != package:
                raise Refusal("runtime.unverified", "this is another package than the wanted one")
            if session.cost_bytes > self._limit_bytes:
                raise Refusal(
                    "runtime.too-large",
                    f"the model needs about {session.cost_bytes} bytes of memory",
                    hint=f"this node holds at most {self._limit_bytes} bytes of models",
                )
            while self.held_bytes + session.cost_bytes > self._limit_bytes:
                self._sessions.popitem(last=False)
            self._sessions[package] = session
        self._sessions.move_to_end(package)
        return session
