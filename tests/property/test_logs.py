"""Paths, bundles and notes from anybody: a value in its one form, or a refusal."""

from hypothesis import given
from hypothesis import strategies as st

from probatum.errors import Refusal
from probatum.protocol import notes, tiles
from probatum.protocol.ed25519 import OperatingSigner

SIGNER = OperatingSigner(b"\x04" * 32)
LOOSE_PATHS = st.text(alphabet="tile/entrs0123456789x.p", max_size=40)


def parsed(function, *args):
    try:
        return function(*args)
    except Refusal:
        return None


@given(LOOSE_PATHS | LOOSE_PATHS.map("tile/".__add__) | st.text())
def test_a_path_has_one_form(text):
    name = parsed(tiles.parse_tile_path, text)
    if name is not None:
        write = tiles.entries_path if name.level is None else tiles.tile_path
        level = () if name.level is None else (name.level,)
        assert write(*level, name.index, name.width) == text


@given(st.integers(0, 7), st.integers(0, 2**63 - 1), st.integers(1, 256))
def test_every_tile_has_a_path(level, index, width):
    name = tiles.TileName(level=level, index=index, width=width)
    path = tiles.tile_path(level, index, width)
    assert tiles.parse_tile_path(path) == name


@given(st.binary(max_size=60), st.integers(-1, 4))
def test_a_bundle_has_one_form(data, width):
    entries = parsed(tiles.decode_entry_bundle, data, width)
    if entries is not None:
        assert tiles.encode_entry_bundle(entries) == data


@given(st.text(max_size=80))
def test_a_checkpoint_has_one_form(text):
    checkpoint = parsed(notes.decode_checkpoint, text)
    assert checkpoint is None or notes.encode_checkpoint(checkpoint) == text


@given(
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=20),
    st.integers(0, 2**63 - 1),
    st.binary(min_size=32, max_size=32),
)
def test_checkpoints_round_trip(origin, size, root):
    checkpoint = notes.Checkpoint(origin=origin, size=size, root=root)
    assert notes.decode_checkpoint(notes.encode_checkpoint(checkpoint)) == checkpoint


@given(
    st.binary(max_size=200) | st.text(max_size=99).map(lambda text: (text + "\n\n— a b\n").encode())
)
def test_loose_notes_are_refused(data):
    assert parsed(notes.open_note, data, "a", SIGNER.key) is None


@given(st.text(max_size=80))
def test_loose_key_texts_are_refused(text):
    assert parsed(notes.parse_key_text, text) is None
