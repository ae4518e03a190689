"""`probatum receipt renew`: a settlement proven again, against a later header (`BUNDLE-1`)."""

import json

import pytest
from msgspec.structs import replace as change

from probatum.cli import main, reading, renewing
from probatum.client import whole_files
from probatum.client.settling import list_tiles, read_pending
from probatum.consensus.trusting import make_header_check
from probatum.errors import Fault, Refusal
from probatum.evidence.receipt import check_bundle
from probatum.evidence.settlement import encode_header
from probatum.protocol.bundles import encode_bundle
from probatum.protocol.encoding import encode, encode_document
from probatum.protocol.messages import (
    GetHeader,
    GetLogFile,
    GetState,
    GotHeader,
    GotLogFile,
    GotState,
    StateItem,
)
from probatum.protocol.records import get_node_key
from probatum.protocol.tiles import parse_tile_path, tile_path
from probatum.protocol.trust import encode_trust
from tests.cases import tiles_of
from tests.factories import (
    GATEWAY,
    NODES,
    digest_of,
    make_bundle,
    make_header,
    make_log,
    make_node_record,
    make_settled_state,
    make_state,
)
from tests.light_chain import LightChain, get_now_ms, make_voters

NODE = NODES[1]
SIGNERS = [GATEWAY, NODES[0], NODE]
LEDGER_AT = "http://ledger:1"
CHAIN = LightChain({0: make_voters(range(4))}, length=1)
MADE = make_bundle()
OLD = CHAIN.seal(make_header(60, state_root=MADE.state.root.digest).header)
BUNDLE = change(MADE.bundle, settlement=change(MADE.bundle.settlement, header=encode_header(OLD)))

TILES = list_tiles(
    read_pending(encode_bundle(change(MADE.bundle, settlement=None))).index, size=700
)


class Network:
    """A full node at height 90, and the node whose log it is."""

    def __init__(self, size):
        self.log = make_log(bytes.fromhex(digest_of(MADE.bundle.receipt)), size=size)
        self.state = make_settled_state(NODE, SIGNERS, self.log, {}, {})
        records = dict(self.state.records)
        records[get_node_key(NODE.account)] = encode(make_node_record(NODE))
        self.state = make_state(records)
        self.header = make_header(90, state_root=self.state.root.digest).header
        self.asked = []

    def exchange(self, endpoint, message, **_):
        self.asked.append(message)
        match message:
            case GetHeader():
                return GotHeader(header=CHAIN.seal(self.header))
            case GetState(keys=keys):
                proofs = [self.state.prove(key) for key in keys]
                items = tuple(
                    StateItem(
                        key=key, value=self.state.records.get(key), proof=encode_document(proof)
                    )
                    for key, proof in zip(keys, proofs, strict=True)
                )
                return GotState(header=CHAIN.seal(self.header), items=items)
            case GetLogFile(path=path):
                assert endpoint == make_node_record(NODE).endpoint
                return GotLogFile(data=tiles_of(self.log, [path])[path])


@pytest.fixture
def desk(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(reading.time, "time_ns", lambda: get_now_ms(100) * 1_000_000)
    bundle, trust = tmp_path / "receipt.json", tmp_path / "trust.json"
    bundle.write_bytes(encode_bundle(BUNDLE))
    trust.write_bytes(encode_trust(CHAIN.make_trust(80)))

    def run(network, *words):
        for page in (reading, renewing):
            monkeypatch.setattr(page, "exchange", network.exchange)
        where = ["--ledger", LEDGER_AT, "--trust", str(trust), "--home", str(tmp_path)]
        code = main(["receipt", *words, *where, "--json"])
        said = capsys.readouterr()
        return code, json.loads(said.out or said.err)

    run.bundle, run.folder = bundle, tmp_path
    return run


@pytest.mark.parametrize("size", [6, 700])
def test_an_old_receipt_holds_again(desk, size):
    network = Network(size)
    check = make_header_check(CHAIN.make_trust(80), get_now_ms(100))
    with pytest.raises(Refusal) as refused:
        check_bundle(desk.bundle.read_bytes(), check)
    assert refused.value.code == "light.before-trust"
    code, found = desk(network, "verify", str(desk.bundle))
    assert (code, found["error"]["code"]) == (1, "light.before-trust")
    assert "says nothing about this receipt" in found["error"]["message"]
    assert "probatum receipt renew" in found["error"]["hint"]
    code, found = desk(network, "renew", str(desk.bundle))
    assert (code, found["height"]) == (0, 90)
    renewed = check_bundle(desk.bundle.read_bytes(), check)
    assert renewed.settlement.log.size == size
    assert renewed.receipt_digest.hex() == digest_of(MADE.bundle.receipt)
    assert any(isinstance(message, GetLogFile) for message in network.asked)


def test_validators_that_have_all_been_replaced_do_not_make_a_receipt_false(desk):
    """Headers between lead from the trust file to it; there is no network to show them."""
    moved = LightChain({0: make_voters(range(4)), 20: make_voters(range(9, 13))}, length=1)
    sealed = moved.seal(make_header(60, state_root=MADE.state.root.digest).header)
    settlement = change(MADE.bundle.settlement, header=encode_header(sealed))
    desk.bundle.write_bytes(encode_bundle(change(MADE.bundle, settlement=settlement)))
    (desk.folder / "trust.json").write_bytes(encode_trust(moved.make_trust(3)))
    code, found = desk(Network(6), "verify", str(desk.bundle))
    assert (code, found["error"]["code"]) == (1, "light.too-little-trust")
    assert "says nothing about this receipt" in found["error"]["message"]
    assert "do not rely on it" in found["error"]["hint"]


def test_a_log_that_did_not_grow_needs_no_node(desk):
    network = Network(len(MADE.log))
    fresh = desk.folder / "fresh.json"
    assert desk(network, "renew", str(desk.bundle), "-o", str(fresh))[0] == 0
    assert not any(isinstance(message, GetLogFile) for message in network.asked)
    check = make_header_check(CHAIN.make_trust(80), get_now_ms(100))
    assert check_bundle(fresh.read_bytes(), check).settlement.header.height == 90
    assert desk.bundle.read_bytes() == encode_bundle(BUNDLE)


def test_a_pending_bundle_is_settled_so_too(desk):
    desk.bundle.write_bytes(encode_bundle(change(BUNDLE, settlement=None)))
    assert desk(Network(5), "renew", str(desk.bundle))[0] == 0
    assert desk(Network(5), "verify", str(desk.bundle))[0] == 0


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda reply: change(reply, header=OLD), "light.before-trust"),
        (
            lambda reply: change(reply, header=change(reply.header, header=OLD.header)),
            "light.other-height",
        ),
        (lambda reply: change(reply, items=reply.items[::-1]), "settle.wrong-reply"),
    ],
)
def test_a_lying_full_node_is_refused(desk, spoil, code):
    network = Network(5)
    honest = network.exchange

    def lie(endpoint, message, **_):
        reply = honest(endpoint, message)
        return spoil(reply) if isinstance(message, GetState) else reply

    network.exchange = lie
    status, found = desk(network, "renew", str(desk.bundle))
    assert (status, found["error"]["code"]) == (1, code)
    assert desk.bundle.read_bytes() == encode_bundle(BUNDLE)


def test_a_node_that_shows_another_log_is_refused(desk):
    network = Network(700)
    honest = network.exchange

    def lie(endpoint, message, **_):
        reply = honest(endpoint, message)
        return GotLogFile(data=bytes(len(reply.data))) if isinstance(reply, GotLogFile) else reply

    network.exchange = lie
    status, found = desk(network, "renew", str(desk.bundle))
    assert status == 1
    assert found["error"]["code"].startswith(("merkle.", "tile."))
    network.exchange = lambda endpoint, message, **_: (
        GotLogFile(data=b"x") if isinstance(message, GetLogFile) else honest(endpoint, message)
    )
    status, found = desk(network, "renew", str(desk.bundle))
    assert status == 1
    assert found["error"]["code"].startswith(("merkle.", "tile."))


def test_an_entry_that_is_not_settled_is_said_to_be(desk):
    network = Network(3)
    network.log = make_log(b"another", size=2)
    records = make_settled_state(NODE, SIGNERS, network.log, {}, {}).records
    network.state = make_state(records)
    network.header = make_header(90, state_root=network.state.root.digest).header
    status, found = desk(network, "renew", str(desk.bundle))
    assert (status, found["error"]["code"]) == (1, "receipt.not-settled")


def lose_node(network, *, registered=True):
    """Have the node's log answer nobody; or have its operator take it off the ledger."""
    honest = network.exchange
    if not registered:
        records = dict(network.state.records)
        del records[get_node_key(NODE.account)]
        network.state = make_state(records)
        network.header = make_header(90, state_root=network.state.root.digest).header

    def cut(endpoint, message, **_):
        if isinstance(message, GetLogFile):
            raise Fault("wire.unreachable", f"nobody answers at {endpoint}")
        return honest(endpoint, message)

    network.exchange = cut
    return network


@pytest.mark.parametrize("registered", [True, False])
def test_a_node_that_is_gone_is_named_with_what_only_its_log_has(desk, registered):
    network = lose_node(Network(700), registered=registered)
    status, found = desk(network, "renew", str(desk.bundle))
    assert (status, found["error"]["code"]) == (3, "receipt.no-log")
    told = found["error"]["message"]
    assert all(path in told for path in TILES), told
    assert NODE.account.hex() in told
    assert (make_node_record(NODE).endpoint in told) == registered
    assert "--log" in found["error"]["hint"]
    assert desk.bundle.read_bytes() == encode_bundle(BUNDLE)


@pytest.mark.parametrize("grown", [0, 12])
def test_a_copy_of_the_log_does_where_the_node_is_gone(desk, grown):
    """A partial tile is the beginning of a wider one, as the log had it later."""
    network = lose_node(Network(700))
    copy = desk.folder / "copy"
    later = make_log(bytes.fromhex(digest_of(MADE.bundle.receipt)), size=700 + grown)
    for path in TILES:
        tile = parse_tile_path(path)
        width = tile.width + (grown if tile.level == 0 and tile.width < 256 else 0)
        held = tile_path(tile.level, tile.index, width)
        (copy / held).parent.mkdir(parents=True, exist_ok=True)
        (copy / held).write_bytes(tiles_of(later, [held])[held])
    found = desk(network, "renew", str(desk.bundle), "--log", str(copy))
    assert (found[0], found[1].get("height")) == (0, 90), found
    assert desk(network, "verify", str(desk.bundle))[0] == 0


def test_a_copy_of_another_log_is_refused(desk):
    copy = desk.folder / "copy"
    for path in TILES:
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        (copy / path).write_bytes(bytes(32 * parse_tile_path(path).width))
    status, found = desk(lose_node(Network(700)), "renew", str(desk.bundle), "--log", str(copy))
    assert status == 1
    assert found["error"]["code"].startswith(("merkle.", "tile."))
    assert desk.bundle.read_bytes() == encode_bundle(BUNDLE)


def test_a_full_disk_leaves_the_receipt_that_there_was(desk, monkeypatch):
    def refuse(_):
        raise OSError(28, "No space left on device")

    before = desk.bundle.read_bytes()
    monkeypatch.setattr(whole_files.os, "fsync", refuse)
    code, found = desk(Network(6), "renew", str(desk.bundle))
    assert (code, found["error"]["code"]) == (3, "store.cannot-write")
    assert desk.bundle.read_bytes() == before
    assert not list(desk.folder.glob(".receipt*"))
