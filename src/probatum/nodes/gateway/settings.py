"""What a gateway is told before it starts: identity, network, patience, bounds.

Read once, handed down. Must not know where the values come from.
"""

from __future__ import annotations

from dataclasses import dataclass

from probatum.evidence.routing import RoutingPolicy
from probatum.protocol import limits
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.parties import Party
from probatum.protocol.primitives import Address, address_to_hex
from probatum.protocol.trust import Trust

__all__ = ["GatewaySettings"]


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
    """

    operator: Address
    signer: OperatingSigner
    trust: Trust
    ledger: str
    policy: RoutingPolicy | None = None
    request_timeout_ms: int = 30_000
    accept_timeout_ms: int = 2_000
    branch_timeout_ms: int = 10_000
    retry_pause_ms: int = 300
    branches: int = limits.BRANCHES
    open_requests: int = limits.OPEN_REQUESTS
    open_bytes: int = 1024 * limits.MIB
    manifest_bytes: int = 64 * limits.MIB
    pending_bundles: int = 100_000
    bundle_bytes: int = 256 * limits.MIB
    recent_bytes: int = 256 * limits.MIB
    back_off_ms: int = 1_000
    back_off_limit_ms: int = 60_000
    height_slack_blocks: int = 10
    stop_grace_ms: int = 5_000

    @property
    def party(self) -> Party:
        """The gateway as its documents name it."""
        return Party(
            role="gateway", account=address_to_hex(self.operator), key=self.signer.key.hex()
        )
