import pytest

from probatum.errors import Misuse, Refusal
from probatum.nodes.inference.logbook import Logbook
from probatum.protocol.eip712 import Domain
from probatum.protocol.hashing import sha256
from probatum.protocol.merkle import compute_root, leaf_hash
from probatum.protocol.notes import log_origin, open_checkpoint
from probatum.protocol.tiles import decode_entry_bundle
from tests.unit.nodes.network import CHAIN_ID, account, operating

DOMAIN = Domain(chain_id=CHAIN_ID, genesis_hash=sha256(b"genesis"))
ENTRIES = [sha256(b"%d" % n) for n in range(300)]


@pytest.fixture
def book():
    return Logbook(DOMAIN, account("a").address, operating("a"))


def test_only_durable_entries_are_ever_shown(book):
    log = book.open(3, operating("a").key)
    for entry in ENTRIES:
        log.append(entry)
    origin = log_origin(DOMAIN, account("a").address, 3)
    for durable in (0, 1, 255, 256, 299):
        log.mark_durable(durable)
        checkpoint = open_checkpoint(book.read(3, "checkpoint"), origin, operating("a").key)
        assert checkpoint.size == durable
        assert checkpoint.root == compute_root([leaf_hash(e) for e in ENTRIES[:durable]])
    assert decode_entry_bundle(book.read(3, "tile/entries/001.p/43"), 43) == tuple(ENTRIES[256:299])
    assert len(book.read(3, "tile/0/000")) == 256 * 32
    assert len(book.read(3, "tile/1/000.p/1")) == 32
    for path in ("tile/entries/001.p/44", "tile/0/001.p/44", "tile/1/000.p/2", "tile/2/000.p/1"):
        with pytest.raises(Refusal) as caught:
            book.read(3, path)
        assert caught.value.code == "tile.not-there"


def test_durability_never_goes_back_nor_beyond_the_log(book):
    log = book.open(0, operating("a").key)
    log.append(ENTRIES[0])
    log.mark_durable(1)
    log.mark_durable(0)
    assert log.durable == 1
    with pytest.raises(Misuse):
        log.mark_durable(2)


def test_a_session_number_is_used_once(book):
    book.open(0, operating("a").key)
    with pytest.raises(Misuse):
        book.open(0, operating("a").key)


def test_a_log_under_another_key_is_shown_but_not_signed_for(book):
    log = book.open(0, operating("b").key)
    log.append(ENTRIES[0])
    log.mark_durable(1)
    assert book.read(0, "tile/0/000.p/1") == leaf_hash(ENTRIES[0])
    with pytest.raises(Refusal) as caught:
        book.read(0, "checkpoint")
    assert caught.value.code == "log.key-replaced"
