"""What ``node.toml`` may say, role by role: one struct a role, one `About` a setting.

The structs are the only description there is: the file that `probatum node init` writes, what is
refused and what a refusal advises are made of them (`config_text`). Must not know where files lie.
Read next: `gateway_settings`, `config`.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from probatum.nodes.shell.api_keys import AtOnce
from probatum.nodes.shell.config_text import About
from probatum.protocol import limits
from probatum.protocol.hexes import HexAddress, HexDigest
from probatum.protocol.parties import ArithmeticClass, Endpoint
from probatum.protocol.primitives import Amount

__all__ = [
    "GRACE",
    "LEDGER",
    "MS",
    "OPERATOR",
    "Bytes",
    "FullConfig",
    "Grace",
    "InferenceConfig",
    "NodeConfig",
    "Patience",
]

_Blocks = Annotated[int, Meta(ge=1, le=1_000_000)]
Patience = Annotated[int, Meta(ge=50, le=3_600_000)]
Grace = Annotated[int, Meta(ge=0, le=600_000)]
Bytes = Annotated[int, Meta(ge=limits.MIB, le=1 << 40)]
_Upstream = Annotated[
    str,
    Meta(
        pattern=r"^[0-9a-f]{64} https?://[A-Za-z0-9._~:/%\[\]-]+( [A-Za-z0-9][A-Za-z0-9._-]*)?\Z",
        max_length=600,
    ),
]
MS: Final = "milliseconds"
OPERATOR: Final = About(says="The account that registered the node, as 0x and 40 hex digits.")
LEDGER: Final = About(
    says="The full node that it follows; its headers are checked against trust.json.",
    change="if that full node moves. It cannot lie to this node, but it can stand still.",
    example="http://127.0.0.1:7000",
)
GRACE: Final = About(
    says="How long an asked-for stop waits for what is under way.",
    change="if requests take longer than this; give the service manager two seconds more.",
    unit=MS,
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
        Patience,
        About(
            says="Time between two blocks.",
            change="before the first block only: all that is counted in blocks goes with it.",
            unit=MS,
        ),
    ] = 1_000
    snapshot_blocks: Annotated[
        int,
        Meta(ge=0, le=1_000_000),
        About(
            says="Blocks from one snapshot for joining nodes to the next; 0 makes none.",
            change="to 0 if disk is short; only with validators: one key's ledger is copied.",
            unit="blocks",
        ),
    ] = 1_000
    keep_blocks: Annotated[
        int,
        Meta(ge=0, le=100_000_000),
        About(
            says="Blocks that are kept with their outcomes, by the engine too; 0 keeps all.",
            change="if disk is short; nobody can replay the chain from here then.",
            unit="blocks",
        ),
    ] = 0
    upgrade_heights: Annotated[
        tuple[Annotated[int, Meta(ge=1, lt=1 << 53)], ...],
        Meta(max_length=64),
        About(
            says="The last heights of app versions: rules change after each, on all validators.",
            change="before such a height, by probatum network upgrade-at; never what is past.",
        ),
    ] = ()


class InferenceConfig(NodeConfig, frozen=True, kw_only=True, tag="inference"):
    """An inference node's file."""

    operator: Annotated[HexAddress, OPERATOR]
    ledger: Annotated[Endpoint, LEDGER]
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
    upstreams: Annotated[
        Annotated[tuple[_Upstream, ...], Meta(max_length=256)],
        About(
            says="Who runs the language models that other programs run: of each such package its "
            "digest, the program's place, and a file below keys/ if it asks for a key.",
            change="with every such package: without its line the node does not start.",
            example=("0" * 64 + " http://127.0.0.1:8080",),
        ),
    ] = ()
    requests_at_once: Annotated[
        AtOnce,
        About(
            says="Requests held at one time; one more is refused as busy.",
            change="downwards if requests time out in the queue, rather than wait.",
            unit="requests",
        ),
    ] = limits.OPEN_REQUESTS
    held_bytes: Annotated[
        Bytes,
        About(
            says="Inputs of all requests that are held, together.",
            change="downwards on a machine with little memory.",
            unit="bytes",
        ),
    ] = 1_024 * limits.MIB
    recent_bytes: Annotated[
        Bytes,
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
    stop_grace_ms: Annotated[Grace, GRACE] = 5_000
