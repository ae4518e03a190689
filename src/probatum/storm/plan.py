"""What a storm is made of: who takes part, how bad the weather is, what breaks how often.

A plan and a seed say everything. Must not know how any of it is done (`world`, `faults`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from probatum.storm.disk import DiskPace
from probatum.storm.network import Weather

__all__ = ["CALM", "ROUGH", "Plan"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One kind of storm.

    Attributes:
        inference_nodes: Each of its own operator.
        tamperers: How many of them alter outputs after they signed them.
        requests_per_client: Asked one after another, `ask_every_ms` apart on average.
        transfers_per_spender: Sent one after another.
        storm_ms: How long it blows; then everything heals.
        heal_ms: How long the healed network has to settle what it owes.
        crashes: Crashes at random moments.
        traps: Crashes right after a wish of a random kind, so between any two wishes of a step.
        partitions: Times that the network falls apart.
        downtime_ms: Shortest and longest time that a crashed party stays down.
        skew_ms: Clocks are wrong by at most this.
    """

    inference_nodes: int = 3
    tamperers: int = 0
    clients: int = 2
    requests_per_client: int = 6
    ask_every_ms: int = 8_000
    request_timeout_ms: int = 25_000
    spenders: int = 1
    transfers_per_spender: int = 6
    block_interval_ms: int = 1_000
    storm_ms: int = 60_000
    heal_ms: int = 120_000
    crashes: int = 5
    traps: int = 5
    partitions: int = 1
    partition_ms: tuple[int, int] = (1_000, 8_000)
    downtime_ms: tuple[int, int] = (50, 6_000)
    skew_ms: int = 300
    weather: Weather = ROUGH
    pace: DiskPace = field(default_factory=DiskPace)
