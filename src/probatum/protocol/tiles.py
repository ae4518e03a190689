"""A log as static tiles: paths, bytes, and proofs built from tiles that were fetched (`LOG-1`).

A tile is 256 hashes of one level, 8 levels of the tree apart; the tree's right edge is in partial
tiles. Proof building is sans-io: ask which tiles a proof needs, fetch them, hand them over. What
comes out is believed only once the caller has checked it against a signed root (`merkle`).
Source: c2sp.org/tlog-tiles. Our entries are 32 bytes: SHA-256 of a receipt's payload.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from probatum.errors import Misuse, Refusal
from probatum.protocol import merkle
from probatum.protocol.merkle import MerkleLog, Proof
from probatum.protocol.primitives import Digest

__all__ = [
    "TILE_WIDTH",
    "ProvenTiles",
    "TileName",
    "TileReader",
    "consistency_from_tiles",
    "consistency_tiles",
    "decode_entry_bundle",
    "encode_entry_bundle",
    "entries_path",
    "inclusion_from_tiles",
    "needed_tiles",
    "parse_tile_path",
    "tile_bytes",
    "tile_path",
]

TILE_WIDTH: Final = 256
_LEVELS: Final = 8
"""Levels of tiles that a log below 2**63 entries can have."""
_PATH_CHARS: Final = 64
_PATH: Final = re.compile(
    r"tile/(entries|[0-7])/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TileName:
    """Which tile a path means.

    Attributes:
        level: Level of tiles, 0 for leaf hashes; None for an entry bundle.
        index: Position among the tiles of its level.
        width: Hashes or entries in it; 256 for a full tile.
    """

    level: int | None
    index: int
    width: int


def _code_index(index: int) -> str:
    text = str(index)
    text = text.zfill(-(-len(text) // 3) * 3)
    groups = [text[place : place + 3] for place in range(0, len(text), 3)]
    return "/".join([f"x{group}" for group in groups[:-1]] + groups[-1:])


def _path(level: str, index: int, width: int) -> str:
    if not (0 <= index < 1 << 63 and 0 < width <= TILE_WIDTH):
        raise Misuse("tile.bad-name", f"no tile {index} of width {width}")
    return f"tile/{level}/{_code_index(index)}" + (f".p/{width}" if width < TILE_WIDTH else "")


def tile_path(level: int, index: int, width: int) -> str:
    """Write the path of a tile of hashes. Raises Misuse `tile.bad-name`."""
    if not 0 <= level < _LEVELS:
        raise Misuse("tile.bad-name", f"no level {level}")
    return _path(str(level), index, width)


def entries_path(index: int, width: int) -> str:
    """Write the path of an entry bundle. Raises Misuse `tile.bad-name`."""
    return _path("entries", index, width)


def parse_tile_path(text: str) -> TileName:
    """Read the path of a tile or an entry bundle, in its one form.

    Raises:
        Refusal: `tile.bad-path`.
    """
    match = _PATH.fullmatch(text) if len(text) <= _PATH_CHARS else None
    if match is None:
        raise Refusal("tile.bad-path", f"not a tile's path: {text[:80]!r}")
    level = None if match[1] == "entries" else int(match[1])
    index = int(match[2].replace("x", "").replace("/", ""))
    width = int(match[3]) if match[3] else TILE_WIDTH
    if index >> 63 or width > TILE_WIDTH or _path(match[1], index, width) != text:
        raise Refusal("tile.bad-path", f"not a tile's path in its one form: {text!r}")
    return TileName(level=level, index=index, width=width)


def tile_bytes(log: MerkleLog, level: int, index: int, width: int) -> bytes:
    """Get a tile's bytes: `width` hashes of 32 bytes.

    Raises:
        Refusal: `tile.not-there` if the log has not so many hashes there yet.
    """
    start = TILE_WIDTH * index
    known = 0 <= level < _LEVELS and index >= 0 and 0 < width <= TILE_WIDTH
    if not known or start + width > len(log) >> (8 * level):
        raise Refusal("tile.not-there", f"the log has no tile {level}/{index} of width {width}")
    return log.get_hashes(8 * level, start, start + width)


def encode_entry_bundle(entries: Sequence[bytes]) -> bytes:
    """Encode up to 256 entries, each behind its length as two bytes, big-endian.

    Raises:
        Misuse: `tile.bad-bundle`.
    """
    if not 0 < len(entries) <= TILE_WIDTH or any(len(entry) >> 16 for entry in entries):
        raise Misuse("tile.bad-bundle", "a bundle has 1 to 256 entries below 64 KiB")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def decode_entry_bundle(data: bytes, width: int) -> tuple[bytes, ...]:
    """Decode a bundle of exactly `width` entries.

    Raises:
        Refusal: `tile.bad-bundle`.
    """
    entries: list[bytes] = []
    place = 0
    while place < len(data) and len(entries) < width:
        stop = place + 2 + int.from_bytes(data[place : place + 2], "big")
        if place + 2 > len(data) or stop > len(data):
            raise Refusal("tile.bad-bundle", "an entry ends beyond the bundle")
        entries.append(data[place + 2 : stop])
        place = stop
    if len(entries) != width or place != len(data) or not 0 < width <= TILE_WIDTH:
        raise Refusal("tile.bad-bundle", f"not a bundle of {width} entries")
    return tuple(entries)


def _locate(level: int, index: int, size: int) -> tuple[str, int, int, int]:
    """Path and width of the tile that holds a subtree's hash; where in it, how many hashes."""
    tile_level, above = divmod(level, 8)
    first = index << above
    tile_index, start = divmod(first, TILE_WIDTH)
    width = min(TILE_WIDTH, (size >> (8 * tile_level)) - TILE_WIDTH * tile_index)
    return tile_path(tile_level, tile_index, width), width, start, 1 << above


class _Recorder:
    """Notes which tiles a proof reads; the hashes that it answers with mean nothing."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.paths: dict[str, None] = {}

    def get_hash(self, level: int, index: int) -> bytes:
        self.paths[_locate(level, index, self._size)[0]] = None
        return bytes(32)


class TileReader:
    """Builds proofs in one tree out of fetched tiles.

    Neighbours' proofs share most of their hashes, so those that were computed once are kept: a
    reader holds up to twice what its tiles do, and is for one size and a short while.
    """

    def __init__(self, size: int, tiles: Mapping[str, bytes]) -> None:
        """Read tiles of a tree of this size; their bytes by path, which must not change."""
        self._size = size
        self._tiles = tiles
        self._known: dict[tuple[int, int], bytes] = {}

    def prove_inclusion(self, index: int) -> Proof:
        """Build an inclusion proof; see `inclusion_from_tiles`."""
        return merkle.inclusion_proof(index, self._size, self.get_hash)

    def get_hash(self, level: int, index: int) -> bytes:
        """Get the hash of a whole subtree.

        Raises:
            Refusal: `tile.missing`, `tile.bad-length`.
        """
        known = self._known.get((level, index))
        if known is None:
            known = self._known[level, index] = self._compute_hash(level, index)
        return known

    def _compute_hash(self, level: int, index: int) -> bytes:
        path, width, start, count = _locate(level, index, self._size)
        data = self._tiles.get(path)
        if data is None:
            raise Refusal("tile.missing", f"the proof needs {path}")
        if len(data) != 32 * width:
            raise Refusal("tile.bad-length", f"{path} has {len(data)} bytes")
        if count == 1:
            return data[32 * start : 32 * start + 32]
        # A subtree of more than one hash of this tile: its halves are of this tile too.
        left, right = self.get_hash(level - 1, 2 * index), self.get_hash(level - 1, 2 * index + 1)
        return hashlib.sha256(b"\x01" + left + right).digest()


class ProvenTiles:
    """Reads entries of a log out of fetched tiles, as far as its root proves them.

    Entries of one leaf tile share their proofs from that tile's own hash upwards, and below it
    every hash is computed from the tile's leaves. So the first proof that leads to the root proves
    the whole tile, and with it all other proofs of its entries.
    """

    def __init__(self, size: int, root: Digest, tiles: Mapping[str, bytes]) -> None:
        """Read tiles of a tree of a size and root that the caller trusts; see `TileReader`."""
        self._size = size
        self._root = root
        self._reader = TileReader(size, tiles)
        self._proven: set[int] = set()

    def prove(self, index: int) -> tuple[bytes, Proof]:
        """Get the leaf hash of an entry with its inclusion proof.

        Raises:
            Refusal: `merkle.*` and `tile.*` if these are not the log's tiles.
        """
        leaf = self._reader.get_hash(0, index)
        proof = self._reader.prove_inclusion(index)
        tile = index // TILE_WIDTH
        if tile not in self._proven:
            merkle.check_inclusion(leaf, index, self._size, proof, self._root)
            self._proven.add(tile)
        return leaf, proof


def needed_tiles(index: int, size: int) -> tuple[str, ...]:
    """List the tiles from which the inclusion proof of an entry can be built.

    Raises:
        Refusal: `merkle.bad-range`.
    """
    recorder = _Recorder(size)
    merkle.inclusion_proof(index, size, recorder.get_hash)
    return tuple(recorder.paths)


def inclusion_from_tiles(index: int, size: int, tiles: Mapping[str, bytes]) -> Proof:
    """Build an inclusion proof from fetched tiles; the caller checks it against a root.

    Args:
        index: The entry's position.
        size: The size of the tree that the proof is for.
        tiles: Bytes by path, at least those that `needed_tiles` lists.

    Raises:
        Refusal: `merkle.bad-range`, `tile.missing`, `tile.bad-length`.
    """
    return TileReader(size, tiles).prove_inclusion(index)


def consistency_tiles(old_size: int, size: int) -> tuple[str, ...]:
    """List the tiles from which a consistency proof can be built. Raises as `needed_tiles`."""
    recorder = _Recorder(size)
    merkle.consistency_proof(old_size, size, recorder.get_hash)
    return tuple(recorder.paths)


def consistency_from_tiles(old_size: int, size: int, tiles: Mapping[str, bytes]) -> Proof:
    """Build a consistency proof from fetched tiles; see `inclusion_from_tiles`."""
    return merkle.consistency_proof(old_size, size, TileReader(size, tiles).get_hash)
