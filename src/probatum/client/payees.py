"""Who is paid, and what lies in the escrow: proven by the ledger, or refused (`PAY-1`).

Must not know what is paid for. Read next: `paying`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from probatum.client.proofs import get_proven_state
from probatum.errors import Misuse, Refusal
from probatum.protocol import limits
from probatum.protocol.custody import decode_release
from probatum.protocol.dsse import Envelope, check_envelope, decode_payload
from probatum.protocol.eip712 import Domain
from probatum.protocol.encoding import decode, decode_document
from probatum.protocol.hexes import address_from_document, key_from_hex
from probatum.protocol.messages import ListedState, ListState, Message, Tab
from probatum.protocol.primitives import Address
from probatum.protocol.records import (
    NODE,
    EscrowRecord,
    KeyRecord,
    NodeRecord,
    get_escrow_key,
    get_key_key,
    get_node_key,
)
from probatum.protocol.trust import Trust, get_domain
from probatum.protocol.vouchers import compute_escrow_id

if TYPE_CHECKING:
    from probatum.client.transport import HttpTransport

__all__ = ["Network", "check_statement", "find_gateway", "open_network", "read_escrow"]

_LOOK_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """How a payer reaches others.

    Attributes:
        domain: The network that vouchers are signed for.
        gateway: Its address.
        ask_gateway: Sends a message to it.
        ask_ledger: Sends a message to the full node.
        prove: Gets records under keys, proven.
    """

    domain: Domain
    gateway: str
    ask_gateway: Callable[[Message], Awaitable[Message]]
    ask_ledger: Callable[[Message], Awaitable[Message]]
    prove: Callable[[tuple[bytes, ...]], Awaitable[dict[bytes, bytes | None]]]


def open_network(
    gateway: str, ledger: str | None, trust: Trust | None, transport: HttpTransport
) -> Network:
    """Make the network of a client. Raises Misuse `client.no-ledger` without ledger or trust."""
    if ledger is None or trust is None:
        raise Misuse("client.no-ledger", "who pays has the escrow proven by a ledger")

    async def prove(keys: tuple[bytes, ...]) -> dict[bytes, bytes | None]:
        return (await get_proven_state(transport, ledger, trust, keys, _LOOK_S))[1]

    return Network(
        domain=get_domain(trust),
        gateway=gateway,
        ask_gateway=lambda message: transport.ask(gateway, message, _LOOK_S),
        ask_ledger=lambda message: transport.ask(ledger, message, _LOOK_S),
        prove=prove,
    )


async def find_gateway(network: Network) -> Address:
    """Find the gateway's operator by the gateway's address.

    Raises:
        Refusal: `payment.unknown-gateway`.
        Fault: `transport.*`.
    """
    after, more = b"", True
    while more:
        page = await network.ask_ledger(
            ListState(prefix=NODE, after=after, limit=limits.LISTED_RECORDS)
        )
        if not isinstance(page, ListedState) or not page.items or page.items[-1].key <= after:
            break
        for item in page.items:
            node = _read_node(item.value)
            if node is not None and _is_gateway(network, node):
                return await _prove_gateway(network, node.account)
        more, after = page.more, page.items[-1].key
    raise Refusal(
        "payment.unknown-gateway",
        f"the ledger knows no gateway at {network.gateway}",
        hint="say which account operates it",
    )


async def _prove_gateway(network: Network, account: Address) -> Address:
    key = get_node_key(account)
    node = _read_node((await network.prove((key,)))[key])
    if node is None or not _is_gateway(network, node):
        why = "the ledger does not prove whose gateway it is"
        raise Refusal("payment.unknown-gateway", why)
    return node.account


def _is_gateway(network: Network, node: NodeRecord) -> bool:
    return "gateway" in node.roles and node.endpoint.rstrip("/") == network.gateway


async def read_escrow(network: Network, payer: Address, payee: Address) -> EscrowRecord:
    """Get an escrow that can be paid from.

    Raises:
        Refusal: `payment.no-escrow`, `payment.escrow-closing`.
        Fault: `transport.*`.
    """
    key = get_escrow_key(compute_escrow_id(network.domain, payer, payee))
    value = (await network.prove((key,)))[key]
    if value is None:
        raise Refusal(
            "payment.no-escrow",
            "there is no escrow from this account to the gateway",
            hint="open one: probatum pay fund",
        )
    record = decode(EscrowRecord, value, limit_bytes=limits.STATE_VALUE_BYTES)
    if record.closing_at is not None:
        raise Refusal(
            "payment.escrow-closing",
            "the escrow is being closed",
            hint="probatum pay fund opens it again",
        )
    return record


async def check_statement(network: Network, tab: Tab, payee: Address | None) -> None:
    """Check that the payee has signed what its tab says was charged.

    Raises:
        Refusal: `payment.wrong-tab`, `dsse.*`, `encoding.*`, `statement.*`, `custody.*`.
        Fault: `transport.*`.
    """
    if not tab.statement:
        raise Refusal("payment.wrong-tab", "a tab without a signed statement")
    envelope = decode_document(Envelope, tab.statement, limit_bytes=limits.ENVELOPE_BYTES)
    release = decode_release(decode_payload(envelope))
    key = key_from_hex(release.gateway.key)
    check_envelope(envelope, (key,))
    state_key = get_key_key(key)
    value = (await network.prove((state_key,)))[state_key]
    record = value and decode(KeyRecord, value, limit_bytes=limits.STATE_VALUE_BYTES)
    whose = record.account if record else None
    if whose != payee or address_from_document(release.gateway.account) != whose:
        raise Refusal("payment.wrong-tab", "the tab's statement is signed by somebody else")
    stated = (release.escrow, release.running_total_units)
    if stated != (tab.escrow.hex(), tab.charged_units):
        raise Refusal("payment.wrong-tab", "the tab's statement states another total")


def _read_node(value: bytes | None) -> NodeRecord | None:
    if value is None:
        return None
    try:
        return decode(NodeRecord, value, limit_bytes=limits.STATE_VALUE_BYTES)
    except Refusal:
        return None
