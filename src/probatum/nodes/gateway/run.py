"""The gateway as a process: ``python -m probatum.nodes.gateway.run --home DIR``.

Its home holds ``node.toml``, ``trust.json``, ``keys/operating.json`` and, once it has run,
``journal`` and ``api-keys.json``. Read next: `machine`, `app`, `probatum.nodes.shell.process`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from probatum.client.transport import HttpTransport
from probatum.machine.wishes import Report
from probatum.nodes.gateway.app import DoorRules, make_app
from probatum.nodes.gateway.compaction import compact
from probatum.nodes.gateway.machine import Gateway
from probatum.nodes.gateway.settings import GatewaySettings
from probatum.nodes.shell.api_keys import ApiKeys
from probatum.nodes.shell.config import (
    GatewayConfig,
    load_node_key,
    load_payer_key,
    load_trust,
)
from probatum.nodes.shell.gate import Gate, GateRules
from probatum.nodes.shell.journal import COMPACT_FROM_BYTES
from probatum.nodes.shell.logs import write_report
from probatum.nodes.shell.process import (
    AFTER_GRACE_S,
    Party,
    Site,
    make_world,
    recover_journal,
    run_process,
)
from probatum.nodes.shell.trust_keeping import keep_trust
from probatum.nodes.shell.witness import bear_witness
from probatum.protocol.hexes import address_from_document
from probatum.protocol.secp256k1 import AccountSigner

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a gateway until it ends; return the process's exit code."""
    return run_process(GatewayConfig, _build, arguments)


def _build(site: Site[GatewayConfig]) -> Party:
    config = site.config
    settings = GatewaySettings(
        operator=address_from_document(config.operator),
        signer=load_node_key(site.home),
        trust=load_trust(site.home),
        ledger=config.ledger,
        request_timeout_ms=config.request_timeout_ms,
        accept_timeout_ms=config.accept_timeout_ms,
        branch_timeout_ms=config.branch_timeout_ms,
        bundle_bytes=config.bundle_bytes,
        recent_bytes=config.recent_bytes,
        stop_grace_ms=config.stop_grace_ms,
        payer=_find_payer(site.home),
        margin_units=config.margin_units,
        fee_units=config.fee_units,
        escrow_units=config.escrow_units,
        escrow_limit_units=config.escrow_limit_units,
        exposure_units=config.exposure_units,
        collect_units=config.collect_units,
    )
    keys = ApiKeys(
        site.home, complain=lambda code, message: write_report(Report("error", code, message))
    )
    rules = _make_rules(keys, config)
    with ExitStack() as held:
        journal, records = recover_journal(site.home)
        held.callback(journal.close)
        machine = Gateway(settings, records, keys)
        keep = partial(compact, kept_bytes=settings.bundle_bytes)
        journal.keep_compact(keep, from_bytes=COMPACT_FROM_BYTES)
        close = held.pop_all().close
    transport = HttpTransport()
    return Party(
        machine=machine,
        world=make_world(journal=journal, transport=transport),
        chores=(partial(keep_trust, site.home, config.ledger, transport, write_report),),
        make_app=partial(make_app, gateway=machine, rules=rules),
        close=close,
        ready={"operator": config.operator, "key": settings.signer.key.hex()},
        grace_s=settings.stop_grace_ms / 1000 + AFTER_GRACE_S,
        bear_witness=partial(bear_witness, site.home, config.ledger),
        halts_itself=True,
    )


def _find_payer(home: Path) -> AccountSigner | None:
    """Load the account that pays nodes; without one the gateway asks free nodes only."""
    return load_payer_key(home) if (home / "keys" / "account.json").exists() else None


def _make_rules(keys: ApiKeys, config: GatewayConfig) -> DoorRules:
    """Read what the door takes, and from whom."""
    gate = Gate(
        GateRules(
            at_once=config.requests_at_once,
            anonymous=config.anonymous,
            anonymous_per_s=config.anonymous_per_s,
            anonymous_at_once=config.anonymous_at_once,
        ),
        keys,
    )
    return DoorRules(gate=gate, request_bytes=config.request_bytes, held_bytes=config.held_bytes)


if __name__ == "__main__":
    sys.exit(main())
