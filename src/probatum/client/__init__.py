"""How the network is used: the SDK, and the light client that nodes follow the ledger with.

`Client` and `AsyncClient` are fetched when first asked for: `ledger_view`, `sync`, `wallet` and
`pending` are pure sub-machines that nodes and the storm use without a socket in sight, so nothing
here may bring `transport` along unasked. Must not know roles or the ledger's internals. Read
next: `sync`, `wallet`, `pending`; then `client`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probatum.client.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client"]


def __getattr__(name: str) -> Any:
    """Fetch the client classes when they are first asked for (PEP 562)."""
    if name in __all__:
        from probatum.client import client  # noqa: PLC0415 - lazy, see the docstring

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, the lazy ones included."""
    return sorted(__all__)
