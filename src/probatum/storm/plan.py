"""What a storm is made of: who takes part, how bad the weather is, what breaks how often.

A plan and a seed say everything. Must not know how any of it is done (`world`, `faults`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from probatum.ledger.params import Params
from probatum.storm.disk import DiskPace
from probatum.storm.network import Weather

__all__ = ["CALM", "PLANS", "ROUGH", "Plan"]

CALM = Weather(delay_ms=(1, 20))
"""Nothing is lost."""

ROUGH = Weather(
    delay_ms=(1, 40),
    slow_rate=0.02,
    slow_ms=(200, 3_000),
    loss=0.02,
    cut=0.02,
    duplicate=0.04,
    corrupt=0.01,
)
"""Bad, but not hopeless: most conversations go well, every request meets some trouble."""

_MUD: Final = DiskPace(flush_ms=(50, 400), slow_rate=0.2, slow_ms=2_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One kind of storm.

    Attributes:
        name: How people call for it.
        inference_nodes: Each of its own operator.
        gateways: Customers are shared out among them.
        tamperers: How many of them alter outputs after they signed them.
        takers: How many of them charge for answers and never give them.
        requests_per_client: Asked one after another, `ask_every_ms` apart on average.
        transfers_per_spender: Sent one after another.
        storm_ms: How long it blows; then everything heals.
        heal_ms: How long the healed network has to settle what it owes.
        crashes: Crashes at random moments.
        traps: Crashes right after a wish of a random kind, so between any two wishes of a step.
        partitions: Times that the network falls apart.
        downtime_ms: Shortest and longest time that a crashed party stays down.
        price_units: What nodes ask for an answer; gateways add `margin_units`, customers pay by
            voucher (`PAY-1`). Where both are 0 nobody pays anything.
        cheats: The nodes that break `LOG-1`, the first ones, by kind (`cast.cheats`).
        overchargers: How many gateways, the first ones, charge twice.
        disk_losers: How many honest nodes behind them lose their disk once.
        prosecutors: How many hold what customers hold, and accuse.
        griefers: How many accuse falsely, and in bulk.
        texts: Whether customers have a language model write, and hear it (`TEXT-1`).
        scribblers: The nodes whose engine writes what the rule does not, the first ones, by kind
            (`cast.scribblers`).
        settle_every_blocks: Blocks between two settlements of a node's log.
        clock_jumps: Times that a party's clock is set anew, `skew_ms` wrong at most.
    """

    name: str = "rough"
    inference_nodes: int = 3
    gateways: int = 2
    tamperers: int = 0
    takers: int = 0
    cheats: tuple[str, ...] = ()
    overchargers: int = 0
    disk_losers: int = 0
    prosecutors: int = 0
    griefers: int = 0
    texts: bool = False
    scribblers: tuple[str, ...] = ()
    settle_every_blocks: int = 2
    params: Params = field(default_factory=Params)
    clients: int = 4
    requests_per_client: int = 10
    ask_every_ms: int = 3_000
    request_timeout_ms: int = 25_000
    spenders: int = 1
    transfers_per_spender: int = 6
    price_units: int = 0
    margin_units: int = 0
    block_interval_ms: int = 1_000
    storm_ms: int = 60_000
    heal_ms: int = 120_000
    crashes: int = 6
    traps: int = 6
    partitions: int = 2
    partition_ms: tuple[int, int] = (1_000, 8_000)
    downtime_ms: tuple[int, int] = (50, 6_000)
    clock_jumps: int = 3
    skew_ms: int = 4_000
    weather: Weather = ROUGH
    pace: DiskPace = field(default_factory=lambda: DiskPace(flush_ms=(1, 30), slow_rate=0.05))


PLANS: Final[Mapping[str, Plan]] = MappingProxyType(
    {
        plan.name: plan
        for plan in (
            Plan(),
            Plan(name="mud", pace=_MUD, clients=6, ask_every_ms=1_500, traps=12),
            Plan(name="liar", tamperers=1, crashes=3, traps=3, weather=replace(ROUGH, corrupt=0.0)),
            Plan(name="foul", tamperers=1, crashes=3, traps=3),
            Plan(name="lone", inference_nodes=1, crashes=8, traps=8),
            Plan(name="market", price_units=5_000, margin_units=300, crashes=8, traps=8),
            Plan(name="prose", texts=True, crashes=16, traps=16),
            Plan(name="scribble", texts=True, scribblers=("deaf",), crashes=4, traps=4),
            Plan(name="hasty", texts=True, scribblers=("hasty",), crashes=4, traps=4),
            Plan(name="endless", texts=True, scribblers=("endless",), crashes=4, traps=4),
            Plan(name="forge", texts=True, scribblers=("forger",), crashes=4, traps=4),
            Plan(name="taken", price_units=5_000, margin_units=300, takers=1, crashes=4, traps=4),
        )
    }
)
"""An ordinary storm; one with slow disks, where much is lost in a crash; one with a node that
alters its answers, on wires that alter nothing, and on wires that do; one with nobody to fail
over to; one in which everything costs something, and one in which a node takes the money and is
silent."""
