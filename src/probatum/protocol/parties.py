"""Who acts: roles, and a party as documents name it.

A party is an operator's account together with the operating key that signs for it. Must not know
what a party does.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from probatum.protocol import limits
from probatum.protocol.encoding import Document
from probatum.protocol.hexes import HexAddress, HexKey

__all__ = [
    "ArithmeticClass",
    "Drawer",
    "EvidenceClass",
    "ModelName",
    "ModelVersion",
    "Party",
    "Role",
]

Role: TypeAlias = Literal["gateway", "inference"]
"""What a registered node does; a node may have several roles."""

ArithmeticClass: TypeAlias = Literal["float", "exact"]
"""How an answer is held to the truth (`CANON-6`): not bit for bit, or to its every bit."""

EvidenceClass: TypeAlias = Literal["signed"]
"""What shows that an answer is right (DESIGN §5); more join with their evidence."""

Drawer: TypeAlias = Literal["client", "gateway"]
"""Who made a salt or chose a nonce (`RECEIPT-1`)."""

ModelName: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?\Z")]
"""A model's name in the ledger: lower case, digits, inner dots, dashes, underscores; at most 64."""

ModelVersion: TypeAlias = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9.+-]{0,31})\Z", max_length=32)
]
"""A model's version: free text of letters, digits, dots, plus and dash; at most 32."""

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
Endpoint: TypeAlias = Annotated[
    str,
    Meta(
        pattern=rf"^https?://(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:]{{2,39}}\])"
        r"(?::[1-9][0-9]{0,4})?\Z",
        max_length=limits.ENDPOINT_CHARS,
    ),
]
"""Where a node listens: scheme, host (a name or an address) and port, no path.

Everybody who routes connects to what others registered, so only what resolvers and URL parsers
take without tripping can be registered: no empty or overlong label of a name.
"""


class Party(Document, frozen=True, kw_only=True):
    """A node as documents name it: role, operator's account, operating key."""

    role: Role
    account: HexAddress
    key: HexKey
