"""Probatum: an open network for AI inference where nobody has to be believed.

The front door of the package. `Client` and `AsyncClient` are fetched when first asked for, so
that ``import probatum`` stays light; everything else is imported from its own room. Must not
know any room but `client`, and that one lazily. Read next: ARCHITECTURE.md, then the rooms in
its order, `probatum.errors` first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probatum.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Fetch the client classes when they are first asked for (PEP 562)."""
    if name in {"AsyncClient", "Client"}:
        from probatum import client  # noqa: PLC0415 - lazy, so that a bare import stays light

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, the lazy ones included."""
    return sorted(__all__)
