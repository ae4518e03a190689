"""Storms with trials: somebody breaks `LOG-1` or `PAY-1`, and somebody else holds them to it.

Windows are shorter than a network's own, so that a storm of a minute sees them pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from probatum.ledger.params import Params
from probatum.storm.plan import Plan

__all__ = ["TRIALS"]

_BRISK: Final = Params(include_window_blocks=10, challenge_window_blocks=40, loss_epoch_blocks=400)


def _make(name: str, *cheats: str, disk_losers: int = 0, griefers: int = 0) -> Plan:
    return Plan(
        name=name,
        cheats=cheats,
        disk_losers=disk_losers,
        prosecutors=1,
        griefers=griefers,
        params=_BRISK,
        crashes=4,
        traps=4,
    )


TRIALS: Final[Mapping[str, Plan]] = MappingProxyType(
    {
        plan.name: plan
        for plan in (
            _make("equivocator", "equivocator"),
            _make("substituter", "substituter"),
            _make("forker", "forker"),
            _make("omitter", "omitter"),
            _make("loser", "loser"),
            _make("misfortune", disk_losers=1),
            _make("griefer", disk_losers=1, griefers=1),
            _make("mob", "loser", griefers=2),
            replace(
                _make("runner", "substituter"),
                settle_every_blocks=1,
                requests_per_client=25,
                ask_every_ms=1_000,
            ),
            replace(_make("deluge", disk_losers=1, griefers=2), settle_every_blocks=20),
            _make("gang", "equivocator", "omitter", disk_losers=1),
            replace(_make("overcharger"), overchargers=1, price_units=5_000, margin_units=300),
        )
    }
)
"""One kind of cheat each, one of them with a log that never stands still; an honest node that loses
its disk; who accuses falsely, with and without somebody to accuse, and where every receipt is late;
several at once; and a gateway that charges twice."""
