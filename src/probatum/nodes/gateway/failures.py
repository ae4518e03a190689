"""What a gateway says of a request that nobody answered.

Must not know what happens to it.
"""

from __future__ import annotations

from probatum.nodes.gateway.request import OpenRequest
from probatum.protocol.messages import Refused
from probatum.protocol.primitives import address_to_hex

__all__ = ["say_failed"]


def say_failed(request: OpenRequest) -> Refused:
    """Say why a request has no answer: by the last hand-over, or why there was none."""
    if request.branches:
        return Refused(
            code="gateway.no-answer",
            message=f"none of {len(request.branches)} hand-overs was answered ({request.reason})"[
                :2000
            ],
            hint="the receipt's bundle shows who was asked and who acknowledged",
            retryable=True,
            request_id=request.request_id,
        )
    if request.awaits_funds:
        return Refused(
            code="gateway.no-funds",
            message="this gateway has not filled its escrow towards the node yet",
            hint="try again in a few seconds",
            retryable=True,
        )
    if request.least_units:
        ceiling = request.fare.ceiling_units
        return Refused(
            code="payment.price-above-limit",
            message=f"the cheapest answer costs {request.least_units} units; yours may cost "
            f"{ceiling}",
            hint="pay by voucher (probatum ask --max-price), or by an API key with a budget",
        )
    if request.node is not None:
        who = address_to_hex(request.node)
        return Refused(
            code="gateway.no-node",
            message=f"the node of {who} is not alive, or does not offer this model in this class",
            hint="see `probatum ledger offers`; without this wish another node answers",
            retryable=True,
        )
    return Refused(
        code="gateway.no-node",
        message="no node that is alive offers this model",
        hint="try again later, or start a node that offers it",
        retryable=True,
    )
