"""The tree of models that a model was made from (`LINE-1`).

A manifest names its parents by digest, so a tree cannot run in circles: whoever would close one
would have to find a digest of something that holds it. It can be wide and deep, so depth and
number of nodes are bounded all the same. Who knows a digest is asked through an argument. Must
not know networks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from probatum.protocol.hexes import digest_from_hex
from probatum.protocol.manifests import Manifest, Parent
from probatum.protocol.primitives import Address, Digest

__all__ = ["Known", "Relative", "trace_parents"]

_DEPTH: Final = 16
_RELATIVES: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What could be learned of a package.

    Attributes:
        name: As published, ``name@version``; None if it is not on the ledger.
        publisher: Who published it under that name.
        manifest: None if nobody gave it; its own parents are unknown then.
    """

    name: str | None = None
    publisher: Address | None = None
    manifest: Manifest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Relative:
    """A parent in the tree.

    Attributes:
        relation: How the child was made from it.
        parents: Its own, in its manifest's order; none too where they are not followed.
        is_cut: Whether it has parents that are not followed: the tree's bounds are reached, or
            they stand elsewhere in the tree already.
    """

    package: Digest
    relation: str
    known: Known
    parents: tuple[Relative, ...] = ()
    is_cut: bool = False


def trace_parents(
    parents: tuple[Parent, ...], find: Callable[[Digest], Known]
) -> tuple[Relative, ...]:
    """Trace a model's parents, and theirs.

    Args:
        parents: Of the model's manifest.
        find: Says what is known of a package; asked once for each.

    Returns:
        The model's parents in its manifest's order, each with its own below it.
    """
    seen: dict[Digest, Known] = {}
    return tuple(_trace(parent, find, seen, 1) for parent in parents)


def _trace(
    parent: Parent, find: Callable[[Digest], Known], seen: dict[Digest, Known], depth: int
) -> Relative:
    package = digest_from_hex(parent.package)
    is_new = package not in seen
    is_full = is_new and len(seen) >= _RELATIVES
    if is_new and not is_full:
        seen[package] = find(package)
    known = seen.get(package, Known())
    above = known.manifest.parents if known.manifest else ()
    follows = is_new and not is_full and depth < _DEPTH
    return Relative(
        package=package,
        relation=parent.relation,
        known=known,
        parents=tuple(_trace(each, find, seen, depth + 1) for each in above) if follows else (),
        is_cut=is_full or (bool(above) and not follows),
    )
