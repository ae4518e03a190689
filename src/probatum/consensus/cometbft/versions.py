"""Which rules decide which block: the app version, and the heights at which it rises (`ABCI-6`).

All validators must change over at the same height, and those who did not must stop there and not
go astray. So the last block of a version says so to the engine, whose next header carries the new
one; a release that does not know the new rules decides nothing more. Must not know what a version
changes.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from probatum.errors import Refusal

__all__ = ["APP_VERSION", "AppVersions"]

APP_VERSION: Final = 1
"""The newest rules that this release decides blocks by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppVersions:
    """The app versions of one chain, as its operators have agreed.

    Attributes:
        known: The newest version that this release knows; it knows all before it, too.
        first: The version of the first block, as the engine's genesis file names it.
        last_heights: The last height of each version that has one, in order: at the next height
            the version is one more.
    """

    known: int = APP_VERSION
    first: int = APP_VERSION
    last_heights: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check the order. Raises Refusal `full.bad-upgrades`."""
        heights = (0, *self.last_heights)
        if any(one >= other for one, other in pairwise(heights)):
            raise Refusal(
                "full.bad-upgrades",
                f"upgrade heights rise, each once: not {self.last_heights}",
                hint="all validators write the same upgrade_heights into node.toml",
            )
        if not 0 < self.first <= self.known:
            raise Refusal(
                "full.newer-rules",
                f"this chain begins by app version {self.first}, this release knows {self.known}",
                hint=f"install a release whose app version is {self.first} or later",
            )

    def get(self, height: int) -> int:
        """Get the version that decides a height."""
        return self.first + bisect_left(self.last_heights, height)

    def get_next(self, height: int) -> int | None:
        """Get the version that follows at the next height, None if it stays as it is."""
        return self.get(height + 1) if height in self.last_heights else None

    def is_known(self, height: int) -> bool:
        """Whether this release decides a height."""
        return self.get(height) <= self.known

    def check_known(self, height: int) -> None:
        """Raise Refusal `full.newer-rules` unless this release decides a height."""
        if not self.is_known(height):
            wanted = self.get(height)
            raise Refusal(
                "full.newer-rules",
                f"the block of height {height} is decided by app version {wanted}, and this "
                f"release knows {self.known}",
                hint=f"install a release whose app version is {wanted}, and start it again: "
                "docs/operating/validators.md, upgrade",
            )
