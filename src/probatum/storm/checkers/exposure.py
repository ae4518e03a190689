"""What a payer can lose at most, after a storm (`PAY-1`).

A gateway is paid for by its clients' releases and pays nodes for their answers: a node that
charges and never answers, or whose answers get lost, gets no more than what the gateway allows for
that. What came is read from the gateways' own disks, what was paid from the replayed ledger. Must
not know how anybody decides what to sign.
"""

from __future__ import annotations

from collections import defaultdict

from probatum.ledger.genesis import get_domain
from probatum.nodes.gateway.journal_records import ChargedRecord, decode_journal_record
from probatum.nodes.gateway.settings import LOST_PERMILLE
from probatum.nodes.inference import journal_records as inference
from probatum.protocol import limits
from probatum.protocol.encoding import decode
from probatum.protocol.records import EscrowRecord, get_escrow_key
from probatum.protocol.vouchers import compute_escrow_id
from probatum.storm.checkers.chain import Replay
from probatum.storm.people import derive_account
from probatum.storm.world import World, get_exposure

__all__ = ["check_exposure"]


def check_exposure(world: World, done: Replay) -> None:
    """Check what each gateway signed and paid for each node against the answers that it got."""
    if not world.plan.price_units:
        return
    seed, domain = world.kernel.seed, get_domain(world.genesis)
    signed = _read_signed(world)
    for gateway, role in sorted(world.roles.items()):
        if role != "gateway":
            continue
        seen = _read_seen(world, gateway)
        payer = derive_account(seed, f"payer of {gateway}").address
        for node, its in sorted(world.roles.items()):
            if its != "inference":
                continue
            payee = derive_account(seed, f"operator of {node}").address
            escrow = compute_escrow_id(domain, payer, payee)
            value = done.state.get(get_escrow_key(escrow))
            if value is None:
                continue
            record = decode(EscrowRecord, value, limit_bytes=limits.STATE_VALUE_BYTES)
            got = seen[escrow]
            bound = got + got * LOST_PERMILLE // 1000 + get_exposure(world.plan)
            why = f"answers worth {got} came to {gateway}"
            if signed[escrow] > bound:
                why = f"{signed[escrow]} signed; {why}"
                world.kernel.trace.find("exposure.signed-too-much", node, why)
            if record.collected_units > bound:
                why = f"{record.collected_units} paid; {why}"
                world.kernel.trace.find("exposure.paid-too-much", node, why)
            lost = max(0, record.collected_units - got)
            world.kernel.trace.count("units paid for answers that never came", lost)


def _read_seen(world: World, gateway: str) -> dict[bytes, int]:
    """Sum the prices of the answers that a gateway has on its disk, by escrow."""
    seen: dict[bytes, int] = defaultdict(int)
    for data in world.kernel.parties[gateway].disk.journal:
        record = decode_journal_record(data)
        if isinstance(record, ChargedRecord) and record.cost is not None:
            seen[record.cost.escrow] += record.cost.price_units
    return seen


def _read_signed(world: World) -> dict[bytes, int]:
    """Read the greatest vouchers that nodes hold, by escrow."""
    signed: dict[bytes, int] = defaultdict(int)
    for name, role in sorted(world.roles.items()):
        if role != "inference":
            continue
        for data in world.kernel.parties[name].disk.journal:
            record = inference.decode_journal_record(data)
            if isinstance(record, inference.VoucherRecord):
                voucher = record.voucher.voucher
                signed[voucher.escrow] = max(signed[voucher.escrow], voucher.total_units)
    return signed
