"""Loaded sessions of several packages, the least recently used going first.

Must not know threads (its owner holds a lock) or where packages lie (its loader does).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from probatum.errors import Refusal
from probatum.protocol.manifests import Manifest
from probatum.protocol.primitives import Digest
from probatum.runtime.engine import EngineOptions
from probatum.runtime.limits import RequestLimits
from probatum.runtime.session import OnnxSession

if TYPE_CHECKING:
    from probatum.runtime.exact import ExactSession

__all__ = ["LoadPackage", "Session", "SessionCache"]

Session: TypeAlias = "OnnxSession | ExactSession"
"""What computes requests to one package in one class."""

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
        self._sessions: OrderedDict[tuple[Digest, bool], Session] = OrderedDict()

    @property
    def held_bytes(self) -> int:
        """Estimated bytes of all sessions."""
        return sum(session.cost_bytes for session in self._sessions.values())

    def get(self, package: Digest, *, exact: bool = False) -> Session:
        """Get a package's session, loading it if needed.

        Args:
            package: Which one.
            exact: Whether to compute its canonical meaning (`EXACT-1`).

        Raises:
            Refusal: `runtime.unverified` if the loader gives another package, `runtime.too-large`
                if the model alone exceeds the bound, those of the session and of the loader.
            Fault: Those of the loader.
        """
        session = self._sessions.get((package, exact))
        if session is None:
            manifest, model = self._load(package)
            session = self._open(manifest, model, exact=exact)
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
            self._sessions[package, exact] = session
        self._sessions.move_to_end((package, exact))
        return session

    def find(self, package: Digest) -> OnnxSession | None:
        """Find a package's session of class `float` without loading it."""
        session = self._sessions.get((package, False))
        return session if isinstance(session, OnnxSession) else None

    def _open(self, manifest: Manifest, model: bytes, *, exact: bool) -> Session:
        if not exact:
            return OnnxSession(manifest, model, options=self._options, limits=self._limits)
        # Whoever serves floats alone need not hold a second reader of ONNX files.
        from probatum.runtime.exact import ExactSession  # noqa: PLC0415

        return ExactSession(manifest, model, options=self._options, limits=self._limits)
