"""What a gateway is told before it starts: identity, network, patience, bounds.

Read once, handed down. Must not know where the values come from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from probatum.evidence.routing import RoutingPolicy
from probatum.protocol import limits
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.eip712 import Domain
from probatum.protocol.parties import Party
from probatum.protocol.primitives import UNITS_PER_TOKEN, Address, address_to_hex
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.trust import Trust, get_domain

__all__ = ["LOST_PERMILLE", "GatewaySettings"]

LOST_PERMILLE: Final = 20
"""Of the answers that came: so many more may be charged and get lost on the way (`PAY-1`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """A gateway's configuration.

    Attributes:
        operator: The account that registered the gateway.
        signer: The gateway's operating key.
        trust: Which chain to believe.
        ledger: Endpoint of the full node that is followed.
        policy: The public routing policy; None for its defaults with the ledger's heartbeats.
        request_timeout_ms: Longest time for one request; a client may ask for less.
        accept_timeout_ms: A node that has not accepted after this is overdue.
        branch_timeout_ms: A node that has not answered after this is overdue. Overdue branches
            may still answer; another one is opened beside them.
        text_timeout_ms: The same as `request_timeout_ms`, of a text (`TEXT-1`).
        text_silence_ms: The same as `branch_timeout_ms`, of a text: from one token to the next;
            a node that goes on with another's text has as long to accept it.
        quiet_ms: How long a text is written on for nobody: who was cut off comes back.
        retry_pause_ms: Pause before nodes that failed this request are tried again.
        branches: Hand-overs for one request, at most `limits.BRANCHES`.
        open_requests: Requests held at one time; one more is refused as busy.
        open_bytes: Inputs held at one time, in bytes.
        manifest_bytes: Manifests of models kept, in bytes.
        pending_bundles: Receipts that wait for settlement; when full, requests are refused.
        bundle_bytes: Final bundles kept for who asks for them, in bytes.
        recent_bytes: Answers kept for who repeats a request, in bytes.
        back_off_ms: How long a node that failed is ranked behind, doubled at each failure in a
            row up to `back_off_limit_ms`.
        height_slack_blocks: How far a node's view of the ledger may be ahead of the gateway's.
        stop_grace_ms: When asked to stop, how long to wait for open requests.
        payer: A hot account that pays nodes and fees (`PAY-1`); without one the gateway asks
            free nodes only, and collects nothing.
        margin_units: Added to a node's price; both together are what the client is charged.
        fee_units: Fee of each of the gateway's transactions.
        escrow_units: What a node's escrow is filled up to, beyond what is signed for.
        escrow_limit_units: What all escrows together may hold.
        exposure_units: How far vouchers for one node may run ahead of the answers that came.
        lost_permille: Thousandths of the answers that may be charged and never come.
        collect_units: Vouchers worth so much are collected; all of them when the gateway stops.
        retry_blocks: Blocks to wait after the ledger refused one of the gateway's transactions.
        party: The gateway as its documents name it; not to be given.
    """

    operator: Address
    signer: OperatingSigner
    trust: Trust
    ledger: str
    policy: RoutingPolicy | None = None
    request_timeout_ms: int = 30_000
    accept_timeout_ms: int = 2_000
    branch_timeout_ms: int = 10_000
    text_timeout_ms: int = 280_000
    text_silence_ms: int = 20_000
    quiet_ms: int = 2_000
    retry_pause_ms: int = 300
    branches: int = limits.BRANCHES
    open_requests: int = limits.OPEN_REQUESTS
    open_bytes: int = 1024 * limits.MIB
    manifest_bytes: int = 64 * limits.MIB
    pending_bundles: int = 100_000
    bundle_bytes: int = 64 * limits.MIB
    recent_bytes: int = 64 * limits.MIB
    back_off_ms: int = 1_000
    back_off_limit_ms: int = 60_000
    height_slack_blocks: int = 10
    stop_grace_ms: int = 5_000
    payer: AccountSigner | None = None
    margin_units: int = 0
    fee_units: int = 1_000
    escrow_units: int = UNITS_PER_TOKEN // 10
    escrow_limit_units: int = 10 * UNITS_PER_TOKEN
    exposure_units: int = UNITS_PER_TOKEN // 100
    lost_permille: int = LOST_PERMILLE
    collect_units: int = UNITS_PER_TOKEN // 100
    retry_blocks: int = 3
    party: Party = field(init=False)

    @property
    def domain(self) -> Domain:
        """The network that signatures are for."""
        return get_domain(self.trust)

    def __post_init__(self) -> None:
        """Write the party's name out, once for all documents."""
        account, key = address_to_hex(self.operator), self.signer.key.hex()
        object.__setattr__(self, "party", Party(role="gateway", account=account, key=key))
