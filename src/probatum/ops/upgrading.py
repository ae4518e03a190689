"""Agreeing on the last height of the present rules, in one node's settings (`ABCI-6`).

Must not know what the next rules are. Read next: `probatum.consensus.cometbft.versions`.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from probatum.consensus.cometbft.versions import AppVersions
from probatum.errors import Refusal
from probatum.nodes.shell.config import FullConfig, change_config, load_config
from probatum.nodes.shell.engine_files import get_first_version
from probatum.ops.kept_tip import read_kept_tip

__all__ = ["plan_upgrade", "unplan_upgrade"]


def plan_upgrade(home: Path, height: int) -> int:
    """Note that a height is the last one that is decided by the present rules.

    Args:
        home: A full node's folder with an engine in it; its process reads it at its next start.
        height: That all validators have agreed on. What is noted already may be noted again.

    Returns:
        The app version that decides the heights after it.

    Raises:
        Refusal: `network.height-passed` if the node has that block already, or an upgrade after
            it; `config.*`, `genesis.other-engine-genesis`.
        Fault: `config.*`, `store.unreadable`.
    """
    config = load_config(home, FullConfig)
    first, noted = get_first_version(home), config.upgrade_heights
    if height not in noted:
        tip = _read_height(home)
        if height <= max(tip, *noted, 0):
            raise Refusal(
                "network.height-passed",
                f"height {height} cannot be the last one by these rules: this node is at {tip}, "
                f"and has agreed on {', '.join(map(str, noted)) or 'none yet'}",
                hint="agree on a later height, with time for everybody to note it",
            )
        noted = (*noted, height)
        change_config(home, msgspec.structs.replace(config, upgrade_heights=noted))
    return AppVersions(known=1 << 30, first=first, last_heights=noted).get(height + 1)


def unplan_upgrade(home: Path, height: int) -> tuple[int, ...]:
    """Take back a height that was noted; after it the present rules go on.

    Args:
        home: A full node's folder with an engine in it; its process reads it at its next start.
        height: That was noted, and whose block the node does not have yet.

    Returns:
        The heights that are still noted.

    Raises:
        Refusal: `network.not-noted`; `network.height-passed` if the node has that block already:
            its engine was told of the next rules; `config.*`.
        Fault: `config.*`, `store.unreadable`.
    """
    config = load_config(home, FullConfig)
    if height not in config.upgrade_heights:
        noted = ", ".join(map(str, config.upgrade_heights)) or "none"
        raise Refusal(
            "network.not-noted",
            f"height {height} is not noted; noted heights: {noted}",
            hint="upgrade_heights in node.toml is what this node has agreed on",
        )
    tip = _read_height(home)
    if height <= tip:
        raise Refusal(
            "network.height-passed",
            f"height {height} cannot be taken back: this node is at {tip}, and every header since "
            "has the next app version",
            hint="docs/operating/validators.md, upgrade",
        )
    left = tuple(one for one in config.upgrade_heights if one != height)
    change_config(home, msgspec.structs.replace(config, upgrade_heights=left))
    return left


def _read_height(home: Path) -> int:
    return read_kept_tip(home).height if (home / "ledger.sqlite").exists() else 0
