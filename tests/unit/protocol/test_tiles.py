import random

import pytest

from probatum.errors import Misuse, Refusal
from probatum.protocol import merkle, tiles
from probatum.protocol.tiles import TileName


def make_log(size):
    log = merkle.MerkleLog()
    for number in range(size):
        log.append(merkle.leaf_hash(number.to_bytes(32, "big")))
    return log


LOG = make_log(70_000)


def fetch(log, paths):
    found = {}
    for path in paths:
        name = tiles.parse_tile_path(path)
        found[path] = tiles.tile_bytes(log, name.level, name.index, name.width)
    return found


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("tile/0/000", TileName(level=0, index=0, width=256)),
        # The specification's own example.
        ("tile/3/x001/x234/067", TileName(level=3, index=1234067, width=256)),
        ("tile/3/x001/x234/067.p/1", TileName(level=3, index=1234067, width=1)),
        ("tile/7/999.p/255", TileName(level=7, index=999, width=255)),
        ("tile/0/x001/000", TileName(level=0, index=1000, width=256)),
        ("tile/entries/x001/234.p/12", TileName(level=None, index=1234, width=12)),
    ],
)
def test_paths(path, name):
    assert tiles.parse_tile_path(path) == name
    if name.level is None:
        assert tiles.entries_path(name.index, name.width) == path
    else:
        assert tiles.tile_path(name.level, name.index, name.width) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/00/000",
        "tile/8/000",
        "tile/-1/000",
        "tile/0/x000/001",
        "tile/0/x001",
        "tile/0/001/002",
        "tile/0/x001/x002",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/999",
        "tile/0/000.p/",
        "tile/0/000.p/1\n",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/../000",
        "tile/data/000",
        "tile/0/٠٠٠",
        "tile/0/x009/x223/x372/x036/x854/x775/808",
        "tile/0/" + "x001/" * 1000 + "000",
    ],
)
def test_other_paths_are_refused(path):
    with pytest.raises(Refusal) as caught:
        tiles.parse_tile_path(path)
    assert caught.value.code == "tile.bad-path"


def test_names_that_are_no_tile_are_a_misuse():
    for call in (
        lambda: tiles.tile_path(8, 0, 1),
        lambda: tiles.tile_path(0, -1, 1),
        lambda: tiles.tile_path(0, 0, 257),
        lambda: tiles.entries_path(0, 0),
    ):
        with pytest.raises(Misuse):
            call()


def test_tiles_are_slices_of_levels():
    assert tiles.tile_bytes(LOG, 0, 3, 2) == LOG.get_hash(0, 768) + LOG.get_hash(0, 769)
    assert tiles.tile_bytes(LOG, 1, 0, 256)[:32] == LOG.get_hash(8, 0) == make_log(256).root()
    assert tiles.tile_bytes(LOG, 2, 0, 1) == LOG.get_hash(16, 0)


@pytest.mark.parametrize(
    ("level", "index", "width"),
    [
        (0, 273, 113),
        (0, 274, 1),
        (1, 1, 18),
        (2, 0, 2),
        (3, 0, 1),
        (8, 0, 1),
        (0, -1, 1),
        (0, 0, 0),
    ],
)
def test_tiles_that_are_not_there_are_refused(level, index, width):
    # 70,000 = 273 · 256 + 112; 273 = 256 + 17.
    with pytest.raises(Refusal) as caught:
        tiles.tile_bytes(LOG, level, index, width)
    assert caught.value.code == "tile.not-there"


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 600, 65_536, 65_537, 70_000])
def test_proofs_from_tiles_are_the_logs_own(size):
    for index in sorted({0, size // 3, size // 2, size - 1}):
        found = fetch(LOG, tiles.needed_tiles(index, size))
        proof = tiles.inclusion_from_tiles(index, size, found)
        assert proof == LOG.inclusion_proof(index, size)
        merkle.check_inclusion(LOG.get_hash(0, index), index, size, proof, LOG.root(size))
        found = fetch(LOG, tiles.consistency_tiles(index, size))
        assert tiles.consistency_from_tiles(index, size, found) == LOG.consistency_proof(
            index, size
        )


def test_missing_and_cut_tiles_are_refused():
    paths = tiles.needed_tiles(5, 600)
    found = fetch(LOG, paths)
    with pytest.raises(Refusal) as caught:
        tiles.inclusion_from_tiles(5, 600, {})
    assert caught.value.code == "tile.missing"
    found[paths[0]] = found[paths[0]][:-1]
    with pytest.raises(Refusal) as caught:
        tiles.inclusion_from_tiles(5, 600, found)
    assert caught.value.code == "tile.bad-length"


def test_wrong_tiles_lead_to_another_root():
    found = fetch(LOG, tiles.needed_tiles(5, 600))
    found = {path: data[::-1] for path, data in found.items()}
    proof = tiles.inclusion_from_tiles(5, 600, found)
    with pytest.raises(Refusal):
        merkle.check_inclusion(LOG.get_hash(0, 5), 5, 600, proof, LOG.root(600))


def test_entry_bundles():
    entries = tuple(bytes([number]) * 32 for number in range(3))
    data = tiles.encode_entry_bundle(entries)
    assert data[:2] == b"\x00\x20"
    assert len(data) == 3 * 34
    assert tiles.decode_entry_bundle(data, 3) == entries
    for width in (0, 2, 4, 257):
        with pytest.raises(Refusal) as caught:
            tiles.decode_entry_bundle(data, width)
        assert caught.value.code == "tile.bad-bundle"
    for cut in (data[:-1], data + b"\0", b"\0", b"\xff\xff", b""):
        with pytest.raises(Refusal):
            tiles.decode_entry_bundle(cut, 3)
    for bad in ((), (b"",) * 257, (bytes(1 << 16),)):
        with pytest.raises(Misuse):
            tiles.encode_entry_bundle(bad)


def test_a_reader_proves_many_entries_and_sees_each_tile_once():
    size = 600
    wanted = {path for index in range(size) for path in tiles.needed_tiles(index, size)}
    found = fetch(LOG, sorted(wanted))
    reader = tiles.TileReader(size, found)
    for index in (0, 1, 255, 256, 511, 512, 599):
        proof = reader.prove_inclusion(index)
        assert proof == tiles.inclusion_from_tiles(index, size, found)
        assert reader.get_hash(0, index) == LOG.get_hashes(0, index, index + 1)
    with pytest.raises(Refusal, match="needs tile/0/001"):
        tiles.TileReader(size, {}).get_hash(0, 256)


def list_all_tiles(size):
    wanted = {path for index in range(size) for path in tiles.needed_tiles(index, size)}
    wanted |= {tiles.tile_path(0, at // 256, min(256, size - at)) for at in range(0, size, 256)}
    return fetch(LOG, sorted(wanted))


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 266, 700, 1024])
def test_the_root_proves_each_tile_once_and_all_its_entries(size):
    proven = tiles.ProvenTiles(size, LOG.root(size), list_all_tiles(size))
    for index in range(size):
        leaf, proof = proven.prove(index)
        assert leaf == LOG.get_hashes(0, index, index + 1)
        merkle.check_inclusion(leaf, index, size, proof, LOG.root(size))


@pytest.mark.parametrize("size", [3, 256, 266, 700])
@pytest.mark.parametrize("seed", range(12))
def test_no_spoilt_tile_proves_anything_that_the_root_does_not(size, seed):
    chance = random.Random(seed)
    found = list_all_tiles(size)
    path = chance.choice(sorted(found))
    spoilt = bytearray(found[path])
    spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
    proven = tiles.ProvenTiles(size, LOG.root(size), found | {path: bytes(spoilt)})
    codes = set()
    indexes = list(range(size))
    chance.shuffle(indexes)
    for index in indexes:
        try:
            leaf, proof = proven.prove(index)
        except Refusal as refusal:
            codes.add(refusal.code)
        else:
            assert leaf == LOG.get_hashes(0, index, index + 1)
            merkle.check_inclusion(leaf, index, size, proof, LOG.root(size))
    assert codes <= {"merkle.not-included"}
    assert codes or path != f"tile/0/000{'' if size > 255 else f'.p/{size}'}"
