"""What ``node.toml`` may say, role by role: one struct a role, one `About` a setting.

The structs are the only description there is: the file that `probatum node init` writes, what is
refused and what a refusal advises are made of them (`config_text`). Must not know where files lie.
Read next: `config`.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from probatum.nodes.shell.api_keys import AtOnce, Rate
from probatum.nodes.shell.config_text import About
from probatum.protocol import limits
from probatum.protocol.hexes import HexAddress, HexDigest
from probatum.protocol.parties import ArithmeticClass, Endpoint
from probatum.protocol.primitives import UNITS_PER_TOKEN, Amount

__all__ = ["AnyConfig", "FullConfig", "GatewayConfig", "InferenceConfig", "NodeConfig"]

_Blocks = Annotated[int, Meta(ge=1, le=1_000_000)]
_Patience = Annotated[int, Meta(ge=50, le=3_600_000)]
_Grace = Annotated[int, Meta(ge=0, le=600_000)]
_Bytes = Annotated[int, Meta(ge=limits.MIB, le=1 << 40)]
_MS: Final = "milliseconds"
_OPERATOR: Final = About(says="The account that registered the node, as 0x and 40 hex digits.")
_LEDGER: Final = About(
    says="The full node that it follows; its headers are checked against trust.json.",
    change="if that full node moves. It cannot lie to this node, but it can stand still.",
    example="http://127.0.0.1:7000",
)
_GRACE: Final = About(
    says="How long an asked-for stop waits for what is under way.",
    change="if requests take longer than this; give the service manager two seconds more.",
    unit=_MS,
)


class NodeConfig(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="role"
):
    """What every role's file says; each setting is described by its `About`."""

    host: Annotated[
        str,
        Meta(min_length=1, max_length=255),
        About(
            says="The address to listen on.",
            change="to 0.0.0.0 or :: if others reach it directly and not through a proxy.",
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int,
        Meta(ge=0, le=65_535),
        About(
            says="The port to listen on; 0 takes a free one at each start.",
            change="if something else has it; then register the node again.",
        ),
    ] = 0
    endpoint: Annotated[
        Endpoint | None,
        About(
            says="How others reach the node, if not at that host and port.",
            change="if a proxy stands before it; then register the node again.",
            example="https://node.example.org",
        ),
    ] = None
    metrics_for_anyone: Annotated[
        bool,
        About(
            says="Whether /metrics is shown to other machines too.",
            change="if the monitoring runs elsewhere and nobody else reaches this port.",
        ),
    ] = False


class FullConfig(NodeConfig, frozen=True, kw_only=True, tag="full"):
    """A full node's file; `genesis.json` and the engine's operating key lie beside it."""

    block_interval_ms: Annotated[
        _Patience,
        About(
            says="Time between two blocks.",
            change="before the first block only: all that is counted in blocks goes with it.",
            unit=_MS,
        ),
    ] = 1_000


class InferenceConfig(NodeConfig, frozen=True, kw_only=True, tag="inference"):
    """An inference node's file."""

    operator: Annotated[HexAddress, _OPERATOR]
    ledger: Annotated[Endpoint, _LEDGER]
    price_units: Annotated[
        Amount,
        About(
            says="Price of a request, stated by the node's offers.",
            change="to what a request shall cost; offers follow at the next start.",
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
    settle_every_blocks: Annotated[
        _Blocks,
        About(
            says="Blocks between two settlements of its log.",
            change="upwards to pay fewer fees; keep well below the promise of a receipt.",
            unit="blocks",
        ),
    ] = 2
    threads: Annotated[
        int,
        Meta(ge=1, le=256),
        About(
            says="Requests computed side by side.",
            change="to the number of cores that the models may have.",
            unit="requests",
        ),
    ] = 1
    arithmetic: Annotated[
        Annotated[tuple[ArithmeticClass, ...], Meta(min_length=1, max_length=2)],
        About(
            says="Classes to offer; exact of those packages alone that state a canonical meaning.",
            change='to ["float"] to answer by ONNX Runtime alone.',
        ),
    ] = ("float", "exact")
    serve: Annotated[
        Annotated[tuple[HexDigest, ...], Meta(max_length=1_024)] | None,
        About(
            says="Digests of the packages to serve; none stands for all under packages/.",
            change="to serve only some of them.",
            example=("0" * 64,),
        ),
    ] = None
    requests_at_once: Annotated[
        AtOnce,
        About(
            says="Requests held at one time; one more is refused as busy.",
            change="downwards if requests time out in the queue, rather than wait.",
            unit="requests",
        ),
    ] = limits.OPEN_REQUESTS
    held_bytes: Annotated[
        _Bytes,
        About(
            says="Inputs of all requests that are held, together.",
            change="downwards on a machine with little memory.",
            unit="bytes",
        ),
    ] = 1_024 * limits.MIB
    recent_bytes: Annotated[
        _Bytes,
        About(
            says="Answers kept for who asks again because the line was cut.",
            change="downwards on a machine with little memory.",
            unit="bytes",
        ),
    ] = 64 * limits.MIB
    kept_answer_bytes: Annotated[
        Annotated[int, Meta(ge=0, le=1 << 40)],
        About(
            says="Answers of class exact kept for who asks the very same again; 0 keeps none.",
            change="if questions repeat, and nobody minds that a quick answer shows it.",
            unit="bytes",
        ),
    ] = 0
    stop_grace_ms: Annotated[_Grace, _GRACE] = 5_000


class GatewayConfig(NodeConfig, frozen=True, kw_only=True, tag="gateway"):
    """A gateway's file."""

    operator: Annotated[HexAddress, _OPERATOR]
    ledger: Annotated[Endpoint, _LEDGER]
    request_timeout_ms: Annotated[
        _Patience,
        About(
            says="Longest time for one request, other nodes' attempts included.",
            change="if models take longer; clients may ask for less.",
            unit=_MS,
        ),
    ] = 30_000
    accept_timeout_ms: Annotated[
        _Patience,
        About(
            says="A node that has not accepted a request after this is passed by.",
            change="upwards if nodes are far away.",
            unit=_MS,
        ),
    ] = 2_000
    branch_timeout_ms: Annotated[
        _Patience,
        About(
            says="A node that has not answered after this is passed by.",
            change="to what the slowest model may take; keep below request_timeout_ms.",
            unit=_MS,
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
        _Bytes,
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
        _Bytes,
        About(
            says="Settled receipts kept in memory for who asks for them.",
            change="downwards on a machine with little memory.",
            unit="bytes",
        ),
    ] = 64 * limits.MIB
    recent_bytes: Annotated[
        _Bytes,
        About(
            says="Answers kept for who repeats a request because the line was cut.",
            change="downwards on a machine with little memory.",
            unit="bytes",
        ),
    ] = 64 * limits.MIB
    stop_grace_ms: Annotated[_Grace, _GRACE] = 5_000
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


AnyConfig: TypeAlias = FullConfig | InferenceConfig | GatewayConfig
