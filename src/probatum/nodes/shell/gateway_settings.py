"""What ``node.toml`` of a gateway may say: one `About` a setting. Read next: `config`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from probatum.nodes.shell.api_keys import AtOnce, Rate
from probatum.nodes.shell.config_text import About
from probatum.nodes.shell.node_settings import (
    GRACE,
    LEDGER,
    MS,
    OPERATOR,
    Bytes,
    Grace,
    NodeConfig,
    Patience,
)
from probatum.protocol import limits
from probatum.protocol.hexes import HexAddress
from probatum.protocol.parties import Endpoint
from probatum.protocol.primitives import UNITS_PER_TOKEN, Amount

__all__ = ["GatewayConfig"]


class GatewayConfig(NodeConfig, frozen=True, kw_only=True, tag="gateway"):
    """A gateway's file."""

    operator: Annotated[HexAddress, OPERATOR]
    ledger: Annotated[Endpoint, LEDGER]
    request_timeout_ms: Annotated[
        Patience,
        About(
            says="Longest time for one request, other nodes' attempts included.",
            change="if models take longer; clients may ask for less.",
            unit=MS,
        ),
    ] = 30_000
    accept_timeout_ms: Annotated[
        Patience,
        About(
            says="A node that has not accepted a request after this is passed by.",
            change="upwards if nodes are far away.",
            unit=MS,
        ),
    ] = 2_000
    branch_timeout_ms: Annotated[
        Patience,
        About(
            says="A node that has not answered after this is passed by.",
            change="to what the slowest model may take; keep below request_timeout_ms.",
            unit=MS,
        ),
    ] = 10_000
    request_bytes: Annotated[
        int,
        Meta(ge=limits.KIB, le=limits.REQUEST_BYTES),
        About(
            says="Body of one request.",
            change="downwards to what your callers need.",
            unit="bytes",
        ),
    ] = limits.REQUEST_BYTES
    held_bytes: Annotated[
        Bytes,
        About(
            says="Bodies of all requests that are being answered, together.",
            change="downwards on a machine with little memory.",
            unit="bytes",
        ),
    ] = 512 * limits.MIB
    requests_at_once: Annotated[
        AtOnce,
        About(
            says="Requests answered at one time; one more is refused as busy.",
            change="downwards if requests time out in the queue, rather than wait.",
            unit="requests",
        ),
    ] = limits.OPEN_REQUESTS
    anonymous: Annotated[
        bool,
        About(
            says="Whether anybody may ask, or only who has an API key.",
            change="to false if only your own callers shall be answered.",
        ),
    ] = True
    anonymous_per_s: Annotated[
        Rate | None,
        About(
            says="Requests a second of one address without a key.",
            change="if strangers reach the gateway.",
            unit="a second",
            example=5.0,
        ),
    ] = None
    anonymous_at_once: Annotated[
        AtOnce | None,
        About(
            says="Requests at one time of one address without a key.",
            change="if strangers reach the gateway.",
            unit="requests",
            example=4,
        ),
    ] = None
    bundle_bytes: Annotated[
        Bytes,
        About(
            says="Settled receipts kept in memory for who asks for them.",
            change="downwards on a machine with little memory.",
            unit="bytes",
        ),
    ] = 64 * limits.MIB
    recent_bytes: Annotated[
        Bytes,
        About(
            says="Answers kept for who repeats a request because the line was cut.",
            change="downwards on a machine with little memory.",
            unit="bytes",
        ),
    ] = 64 * limits.MIB
    stop_grace_ms: Annotated[Grace, GRACE] = 5_000
    margin_units: Annotated[
        Amount,
        About(
            says="Added to a node's price; both together are what a client is charged.",
            change="to what your service shall cost.",
            unit="units",
        ),
    ] = 0
    fee_units: Annotated[
        Amount,
        About(
            says="Fee of each of its transactions, paid by keys/account.json.",
            change="if the ledger asks for more.",
            unit="units",
        ),
    ] = 1_000
    escrow_units: Annotated[
        Amount,
        About(
            says="What keys/account.json puts into a node's escrow beyond what is signed.",
            change="with the price of a request times the requests of some minutes.",
            unit="units",
        ),
    ] = UNITS_PER_TOKEN // 10
    escrow_limit_units: Annotated[
        Amount,
        About(
            says="What all escrows towards nodes together may hold.",
            change="to what you are ready to lock up; 0 asks free nodes only.",
            unit="units",
        ),
    ] = 10 * UNITS_PER_TOKEN
    exposure_units: Annotated[
        Amount,
        About(
            says="How far vouchers for one node may run ahead of its answers: what it could steal.",
            change="to the price of a request times the requests at one time.",
            unit="units",
        ),
    ] = UNITS_PER_TOKEN // 100
    collect_units: Annotated[
        Amount,
        About(
            says="Vouchers of clients worth so much are collected; all of them at a stop.",
            change="upwards to pay fewer fees, downwards to hold less of others' word.",
            unit="units",
        ),
    ] = UNITS_PER_TOKEN // 100
