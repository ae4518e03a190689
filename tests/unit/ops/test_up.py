"""`up` on a folder that holds a network: what it was made with stays, and that is said."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from probatum.ops.folder import NetworkPlan
from probatum.ops.up import say_what_goes_on

MADE = SimpleNamespace(node_names=("node-1", "node-2"), path=Path("net"))


@pytest.mark.parametrize(
    ("plan", "in_vain"),
    [
        (NetworkPlan(), []),
        (NetworkPlan(nodes=2), []),
        (NetworkPlan(nodes=5), ["--nodes 5"]),
        (NetworkPlan(price_units=7), ["--price"]),
        (NetworkPlan(nodes=1, price_units=7), ["--nodes 1", "--price"]),
    ],
)
def test_what_counts_for_a_new_network_alone_is_said_where_it_goes_on(plan, in_vain):
    first, *more = say_what_goes_on(MADE, plan).splitlines()
    assert first == "going on with the network in net: 2 inference nodes"
    assert len(more) == len(in_vain)
    assert all(
        line.startswith(f"  {words} count") for line, words in zip(more, in_vain, strict=True)
    )
