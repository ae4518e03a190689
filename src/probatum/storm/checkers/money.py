"""What a network with prices promises, after a storm (`PAY-1`).

Nobody charges twice for one piece of work; running totals are sums, in the order of the log; and
every payee collected what its vouchers bring of what it charged, but for what is not worth a fee,
and no more. Reads what was ever signed
from the witness and the disks, and escrows from the replayed ledger. Must not know how anybody
decides what to pay.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from probatum.nodes.gateway import journal_records as gateway
from probatum.nodes.inference import journal_records as inference
from probatum.protocol import limits
from probatum.protocol.bundles import decode_bundle
from probatum.protocol.custody import Release, decode_release
from probatum.protocol.dsse import decode_payload
from probatum.protocol.encoding import decode
from probatum.protocol.hexes import digest_from_hex
from probatum.protocol.receipts import Receipt, decode_receipt
from probatum.protocol.records import OFFENCE, EscrowRecord, get_escrow_key
from probatum.storm.checkers.chain import Replay
from probatum.storm.world import COLLECT_UNITS, World

__all__ = ["check_money"]

_UNCOLLECTED: Final = COLLECT_UNITS
"""Less than this may be left where it is: it is not worth its fee yet."""


def check_money(world: World, done: Replay) -> None:
    """Check charges and payments; in a storm without prices there must be none."""
    vouchers = _read_disks(world)
    receipts = [decode_receipt(payload) for _, payload in sorted(world.witness.receipts.items())]
    priced = [receipt for receipt in receipts if receipt.price_units]
    releases = [decode_release(payload) for _, payload in sorted(world.witness.releases.items())]
    trace = world.kernel.trace
    if not world.plan.price_units and (priced or releases):
        trace.find("money.charged-for-nothing", "", "somebody charged where nothing has a price")
    _check_charged_once(world, priced)
    _check_totals(world, priced)
    _check_releases(world, releases)
    stated = [(one.escrow, one.running_total_units) for one in priced]
    stated += [(one.escrow, one.running_total_units) for one in releases]
    charged: dict[str, int] = {}
    for escrow, total in stated:
        charged[str(escrow)] = max(charged.get(str(escrow), 0), total or 0)
    _check_collected(world, done, charged, vouchers)
    for key in sorted(done.state):
        if key.startswith(OFFENCE) and not world.docket.deeds:
            trace.find("money.convicted", "", f"somebody honest was convicted: {key.hex()}")
    trace.count("receipts with a price", len(priced))
    trace.count("releases with a price", len(releases))


def _read_disks(world: World) -> dict[str, set[int]]:
    """Read the totals of the vouchers that payees keep, by escrow.

    The witness is shown what gateways signed and perhaps never sent.
    """
    vouchers: dict[str, set[int]] = defaultdict(set)
    for name, role in sorted(world.roles.items()):
        if role == "full":
            continue
        for data in world.kernel.parties[name].disk.journal:
            signed = None
            if role == "inference":
                kept = inference.decode_journal_record(data)
                signed = kept.voucher if isinstance(kept, inference.VoucherRecord) else None
            else:
                taken = gateway.decode_journal_record(data)
                if isinstance(taken, gateway.ChargedRecord):
                    release = decode_payload(decode_bundle(taken.bundle).release)
                    world.witness.take_release(name, release)
                    signed = taken.paid.voucher
            if signed is not None:
                vouchers[signed.voucher.escrow.hex()].add(signed.voucher.total_units)
    return vouchers


def _check_charged_once(world: World, priced: list[Receipt]) -> None:
    charged: dict[tuple[str, int, str], int] = {}
    for receipt in priced:
        place = (receipt.node.account, receipt.log.session, receipt.custody)
        if charged.setdefault(place, receipt.log.index) != receipt.log.index:
            world.kernel.trace.find(
                "money.charged-twice", receipt.node.account, f"for {receipt.custody[:16]}"
            )


def _check_totals(world: World, priced: list[Receipt]) -> None:
    """Check that each total is the one before and the price; receipts come in log order."""
    totals: dict[str, int] = defaultdict(int)
    for receipt in priced:
        escrow = str(receipt.escrow)
        totals[escrow] += receipt.price_units
        if receipt.running_total_units != totals[escrow]:
            world.kernel.trace.find(
                "money.wrong-total",
                receipt.node.account,
                f"{receipt.running_total_units} where {totals[escrow]} were charged",
            )


def _check_releases(world: World, releases: list[Release]) -> None:
    """Check that the totals of each escrow are the sums of prices, in some order, without gaps."""
    stated: dict[str, list[Release]] = defaultdict(list)
    for release in releases:
        stated[str(release.escrow)].append(release)
    for escrow, charges in sorted(stated.items()):
        total = 0
        for release in sorted(charges, key=lambda one: one.running_total_units or 0):
            total += release.price_units
            if release.running_total_units != total:
                world.kernel.trace.find(
                    "money.wrong-total",
                    release.gateway.account,
                    f"{release.running_total_units} where {total} were charged to {escrow[:16]}",
                )


def _check_collected(
    world: World, done: Replay, charged: dict[str, int], vouchers: dict[str, set[int]]
) -> None:
    """Check that what could be collected without taking more than was charged has been."""
    trace = world.kernel.trace
    for escrow, total in sorted(charged.items()):
        value = done.state.get(get_escrow_key(digest_from_hex(escrow)))
        if value is None:
            trace.find("money.no-escrow", "", f"{total} units were charged to no escrow")
            continue
        record = decode(EscrowRecord, value, limit_bytes=limits.STATE_VALUE_BYTES)
        due = max((units for units in vouchers[escrow] if units <= total), default=0)
        why = f"{total} charged, {due} of it by voucher, {record.collected_units} collected"
        if record.collected_units > total:
            trace.find("money.collected-too-much", record.payee.hex(), why)
        if due - record.collected_units >= _UNCOLLECTED:
            trace.find("money.not-collected", record.payee.hex(), why)
        trace.count("units collected", record.collected_units)
