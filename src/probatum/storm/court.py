"""Trials in a storm: who cheats, who loses a disk, who accuses; see `docket` for what is known.

Adds them to a world that `world` built: wraps the nodes that cheat, and seats prosecutors and
griefers when the storm begins. A world whose plan has none of them stays as it is. Read next:
`cast.cheats`, `cast.prosecutor`, `checkers.trials`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from probatum.ledger.genesis import get_domain
from probatum.machine.machine import Machine
from probatum.protocol.bundles import decode_bundle
from probatum.protocol.dsse import decode_payload
from probatum.protocol.primitives import address_to_hex
from probatum.protocol.receipts import decode_receipt
from probatum.storm.cast.cheats import CHEATS, MakeCheat
from probatum.storm.cast.customer import Request
from probatum.storm.cast.griefer import Griefer
from probatum.storm.cast.overcharger import Overcharger
from probatum.storm.cast.prosecutor import Prosecutor
from probatum.storm.disk import Disk
from probatum.storm.docket import Deeds
from probatum.storm.loop import derive_chance
from probatum.storm.people import derive_account, derive_operating
from probatum.storm.world import LEDGER, World

__all__ = ["is_ended", "is_judged", "open_court", "seat"]

_ACTS: Final = 3
"""So many acts of one cheater are enough for a storm, where it can stop."""
_DROPPING: Final = ((0.0, 0.25), (0.55, 0.8))
"""When those that forget to log do so, in parts of the storm; a crash ends each span."""


def open_court(world: World) -> None:
    """Wrap the nodes that cheat, before anybody starts."""
    plan, docket = world.plan, world.docket
    for at, cheat in enumerate(plan.cheats):
        deeds = _wrap(world, f"node-{at}", cheat, CHEATS[cheat])
        if cheat in ("omitter", "loser"):
            # Once they forget, they forget all until they are started again.
            deeds.limit, deeds.over = 1_000, True
    for at in range(plan.overchargers):
        _wrap(world, f"gateway-{at}", "overcharger", Overcharger)
    for at in range(plan.disk_losers):
        name = f"node-{len(plan.cheats) + at}"
        docket.forgetful[name] = derive_account(world.kernel.seed, f"operator of {name}").address


def _wrap(world: World, name: str, cheat: str, kind: MakeCheat) -> Deeds:
    operator = derive_account(world.kernel.seed, f"operator of {name}").address
    deeds = world.docket.deeds[name] = Deeds(cheat=cheat, operator=operator, limit=_ACTS)
    world.witness.liars.add(address_to_hex(operator))
    signer = derive_operating(world.kernel.seed, name)
    party = world.kernel.parties[name]
    build = party.build
    party.build = lambda disk: kind(build(disk), signer, deeds, world.kernel.trace)
    return deeds


def seat(world: World) -> None:
    """Add those who accuse, and plan who forgets what and when; the storm begins now."""
    for at in range(world.plan.prosecutors):
        _add_accuser(world, f"prosecutor-{at}", Prosecutor)
    for at in range(world.plan.griefers):
        name = f"griefer-{at}"
        world.docket.griefers[name] = derive_account(world.kernel.seed, name).address
        _add_accuser(world, name, Griefer)
    storm_ms = world.plan.storm_ms
    for name, deeds in sorted(world.docket.deeds.items()):
        if deeds.cheat in ("omitter", "loser"):
            for start, end in _DROPPING:
                world.kernel.plan(int(start * storm_ms), deeds.begin)
                world.kernel.plan(int(end * storm_ms), partial(_forget, world, name, deeds))
        else:
            world.kernel.plan(storm_ms, deeds.end)
    chance = derive_chance(world.kernel.seed, "lost disks")
    for name in sorted(world.docket.forgetful):
        at_ms = chance.randrange(storm_ms // 4, 3 * storm_ms // 4)
        world.kernel.plan(at_ms, partial(_lose_disk, world, name))


def _forget(world: World, name: str, deeds: Deeds) -> None:
    deeds.end()
    world.kernel.crash(name)


def _lose_disk(world: World, name: str) -> None:
    party = world.kernel.parties[name]
    world.kernel.crash(name)
    world.kernel.trace.count("disks lost")
    world.kernel.trace.count("records lost with a disk", len(party.disk.journal))
    party.disk.journal.clear()


def _list_bundles(world: World) -> Iterator[bytes]:
    for _, notebook in sorted(world.notebooks.items()):
        for request in notebook.requests:
            if request.bundle is not None and request.stand in ("answered", "settled"):
                yield request.bundle
            if request.settled is not None and world.plan.price_units:
                yield request.settled  # what it charges may be another than before


def _add_accuser(world: World, name: str, kind: type[Prosecutor | Griefer]) -> None:
    signer = derive_account(world.kernel.seed, name)

    def build(_: Disk) -> Machine:
        return kind(
            LEDGER,
            world.trust,
            get_domain(world.genesis),
            signer,
            world.docket,
            partial(_list_bundles, world),
            world.kernel.trace,
            world.plan.params.min_fee_units,
        )

    world.kernel.add(name, f"http://{name}", build)


def is_ended(world: World, request: Request) -> bool:
    """Tell whether a request has come to its end, also if that is one that its node owes for."""
    if request.stand != "answered" or request.bundle is None:
        return request.stand in ("settled", "failed")
    receipt = decode_bundle(request.bundle).receipt
    if receipt is None:
        return False
    account = decode_receipt(decode_payload(receipt)).node.account
    return world.docket.excuses(account)


def is_judged(world: World) -> bool:
    """Tell whether prosecutors have nothing left to do, where they can do anything."""
    docket = world.docket
    open_cases = [case for case in docket.cases.values() if case.verdict == "open"]
    # What was settled of a log that is gone can be shown by nobody.
    lost = {*docket.forgetful.values()}
    return (
        all(case.held.operator in lost for case in open_cases)
        and all(fork.verdict != "open" or fork.operator in lost for fork in docket.forks.values())
        and all(charge.verdict != "open" for charge in docket.charges.values())
    )
