import msgspec
import pytest

from probatum.client.ledger_view import LedgerView
from probatum.client.pending import SettlementCollector
from probatum.client.settling import list_tiles
from probatum.errors import Refusal
from probatum.evidence.receipt import check_bundle
from probatum.machine.events import Arrived, Fired, Moment, Returned, Unreachable
from probatum.machine.wishes import Report, Send, SetTimer
from probatum.protocol.blocks import BlockView, Change
from probatum.protocol.bundles import add_settlement, decode_bundle
from probatum.protocol.encoding import encode, encode_document
from probatum.protocol.hashing import sha256
from probatum.protocol.merkle import MerkleLog, leaf_hash
from probatum.protocol.messages import (
    GetLogFile,
    GetState,
    GetStatus,
    GotLogFile,
    GotState,
    Refused,
    StateItem,
)
from probatum.protocol.primitives import make_request_id
from probatum.protocol.receipts import LogPosition
from probatum.protocol.records import KeyRecord, get_key_key, get_log_key, get_node_key
from probatum.protocol.tiles import parse_tile_path, tile_bytes
from tests.factories import (
    GATEWAY,
    NODES,
    digest_of,
    make_bundle,
    make_check,
    make_facts,
    make_header,
    make_log_record,
    make_node_record,
    make_state,
    make_trust,
)

LEDGER_AT = "http://127.0.0.1:1"
TRUST = make_trust()
CHECK = make_check(TRUST)
MOMENT = Moment(0, bytes(32))
NODE = NODES[0]


def make_pending(index, *, session=0, branches=((NODES[1], True), (NODE, True))):
    facts = make_facts(request_id=make_request_id(index.to_bytes(16, "big")))
    log = LogPosition(session=session, index=index, include_by=30)
    return make_bundle(branches, settled=False, facts=facts, receipt_changes={"log": log})


class World:
    """One node with one log session, one ledger, and whatever they do wrong."""

    def __init__(self, bundles, size, *, entries=None):
        self.log = MerkleLog()
        entries = {
            position.index: bytes.fromhex(digest_of(made.bundle.receipt))
            for position, made in bundles
        } | (entries or {})
        for number in range(size):
            self.log.append(leaf_hash(entries.get(number, sha256(b"entry %d" % number))))
        self.sent = []
        self.pending = {made.facts.request_id: made.data for _, made in bundles}
        self.spoil = None
        self.view = LedgerView()
        self.records = {}
        self.settle(size)

    def settle(self, size, **changes):
        record = make_log_record(NODE, self.log, size=size, root=self.log.root(size), **changes)
        self.records[get_log_key(NODE.account, 0)] = encode(record)
        self.records[get_node_key(NODE.account)] = encode(make_node_record(NODE))
        for actor in (GATEWAY, *NODES):
            key = KeyRecord(account=actor.account, registered_at=1, retired_at=None)
            self.records.setdefault(get_key_key(actor.signer.key), encode(key))
        self.state = make_state(self.records)
        self.header = make_header(self.view.height + 1, state_root=self.state.root.digest)
        changes = tuple(Change(key=key, value=value) for key, value in self.records.items())
        self.view.apply(BlockView(header=self.header, changes=changes), snapshot=True)

    def answer(self, wish):
        match wish.message:
            case GetState(keys=keys):
                assert wish.to == LEDGER_AT
                items = []
                for key in keys:
                    proof = self.state.prove(key)
                    value = None if proof.value is None else bytes.fromhex(proof.value)
                    items.append(StateItem(key=key, value=value, proof=encode_document(proof)))
                return GotState(header=self.header, items=tuple(items))
            case GetLogFile(session=0, path=path):
                assert wish.to == make_node_record(NODE).endpoint
                name = parse_tile_path(path)
                return GotLogFile(data=tile_bytes(self.log, name.level, name.index, name.width))
            case _:
                return Refused(code="toy.unknown", message="")

    def run(self, collector, wishes, *, steps=400):
        """Grant wishes until there are none left but to try again later."""
        finished, broken, waiting = {}, {}, []
        wishes = list(wishes)
        for _ in range(steps):
            if not wishes:
                break
            wish = wishes.pop(0)
            match wish:
                case Send():
                    self.sent.append(wish)
                    message = self.answer(wish)
                    if self.spoil is not None:
                        message = self.spoil(wish, message)
                    if message is None:
                        event = Unreachable(wish.call, "lost")
                    else:
                        event = Returned(wish.call, message, last=True)
                case SetTimer(timer=timer, after_ms=0):
                    event = Fired(timer)
                case _:
                    waiting.append(wish)
                    continue
            assert collector.owns(event)
            step = collector.step(event, MOMENT)
            wishes += step.wishes
            for name, settlement in step.finished:
                finished[name] = add_settlement(self.pending[name], settlement)
            broken.update(step.broken)
        return finished, broken, waiting


def prepare(indexes, size, **arguments):
    made = {index: make_pending(index) for index in indexes}
    positions = [(LogPosition(session=0, index=i, include_by=30), m) for i, m in made.items()]
    world = World(positions, size, **arguments)
    collector = SettlementCollector(LEDGER_AT, TRUST, world.view)
    for bundle in made.values():
        collector.add(bundle.facts.request_id, bundle.data)
    return world, collector, {i: m.facts.request_id for i, m in made.items()}


@pytest.mark.parametrize(
    ("index", "size"),
    [(0, 1), (0, 2), (1, 2), (2, 3), (256, 257), (255, 256), (3, 700), (511, 513), (699, 700)],
)
def test_a_pending_bundle_becomes_a_settled_one(index, size):
    world, collector, ids = prepare([index], size)
    finished, broken, _ = world.run(collector, collector.look(MOMENT))
    assert broken == {}
    data = finished[ids[index]]
    assert check_bundle(data, CHECK).receipt.log.index == index
    assert len(collector) == 0
    assert collector.look(MOMENT) == ()


def test_many_receipts_of_a_checkpoint_cost_one_question_and_few_tiles():
    indexes = list(range(0, 600, 5))
    world, collector, _ = prepare(indexes, 600)
    finished, _, _ = world.run(collector, collector.look(MOMENT))
    assert len(finished) == len(indexes)
    kinds = [type(send.message) for send in world.sent]
    assert kinds.count(GetState) == 1
    assert kinds.count(GetLogFile) <= 4


def test_nothing_is_asked_before_the_log_reaches_the_receipt():
    world, collector, ids = prepare([4], 6)
    world.settle(3)
    assert collector.look(MOMENT) == ()
    assert collector.list_overdue() == ()
    world.settle(6)
    finished, _, _ = world.run(collector, collector.look(MOMENT))
    assert list(finished) == list(ids.values())


def test_what_came_in_meanwhile_is_settled_too():
    world, collector, ids = prepare([1, 2, 5], 6)
    world.settle(4)
    finished, _, _ = world.run(collector, collector.look(MOMENT))
    assert set(finished) == {ids[1], ids[2]}
    world.settle(6)
    finished, _, _ = world.run(collector, collector.look(MOMENT))
    assert set(finished) == {ids[5]}


def test_an_overdue_receipt_is_listed_and_still_collected():
    world, collector, ids = prepare([4], 6)
    world.settle(3)
    while world.view.height <= 30:
        world.settle(3)
    assert collector.list_overdue() == (ids[4],)
    world.settle(6)
    assert collector.list_overdue() == ()
    finished, _, _ = world.run(collector, collector.look(MOMENT))
    assert list(finished) == [ids[4]]


def spoil_tiles(wish, message):
    if isinstance(message, GotLogFile):
        return GotLogFile(data=bytes(len(message.data)))
    return message


def spoil_header(wish, message):
    if isinstance(message, GotState):
        return msgspec.structs.replace(message, header=make_header(9))
    return message


def spoil_order(wish, message):
    if isinstance(message, GotState):
        return msgspec.structs.replace(message, items=message.items[::-1])
    return message


def spoil_proofs(wish, message):
    if isinstance(message, GotState):
        items = tuple(msgspec.structs.replace(item, proof=b"{}") for item in message.items)
        return msgspec.structs.replace(message, items=items)
    return message


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (spoil_tiles, "merkle.not-included"),
        (spoil_header, "mapproof.another-root"),
        (spoil_order, "settle.wrong-reply"),
        (spoil_proofs, "encoding.malformed"),
        (lambda wish, message: GetStatus(), "settle.wrong-reply"),
        (lambda wish, message: Refused(code="toy.no", message=""), "toy.no"),
        (lambda wish, message: GotLogFile(data=b""), "settle.wrong-reply"),
        (lambda wish, message: None, "settle.unreachable"),
    ],
)
def test_bad_answers_are_not_believed_and_asked_for_again(spoil, code):
    world, collector, ids = prepare([1, 4], 300)
    world.spoil = spoil
    finished, broken, waiting = world.run(collector, collector.look(MOMENT))
    assert finished == broken == {}
    assert [wish.code for wish in waiting if isinstance(wish, Report)] == [code]
    (again,) = [wish for wish in waiting if isinstance(wish, SetTimer)]
    assert collector.look(MOMENT) == (), "it waits before it asks again"
    world.spoil = None
    step = collector.step(Fired(again.timer), MOMENT)
    finished, _, _ = world.run(collector, step.wishes)
    assert set(finished) == set(ids.values())


def settle_sessions(view, records):
    """Show a view in which every one of these sessions is settled as far as its first entry."""
    log = MerkleLog()
    log.append(leaf_hash(sha256(b"entry")))
    changes = [
        Change(
            key=get_log_key(actor.account, session),
            value=encode(make_log_record(actor, log, session=session)),
        )
        for actor, session in records
    ]
    changes += [
        Change(key=get_node_key(actor.account), value=encode(make_node_record(actor)))
        for actor in dict.fromkeys(actor for actor, _ in records)
    ]
    block = BlockView(header=make_header(5), changes=tuple(changes))
    view.apply(block, snapshot=True)


def test_an_operator_that_hangs_holds_up_nobody_else():
    first, second = sorted(NODES[:2], key=lambda actor: actor.account)
    view = LedgerView()
    settle_sessions(view, [*((first, session) for session in range(20)), (second, 0)])
    collector = SettlementCollector(LEDGER_AT, TRUST, view)
    for number, (actor, session) in enumerate([*((first, n) for n in range(20)), (second, 0)]):
        facts = make_facts(request_id=make_request_id(number.to_bytes(16, "big")))
        log = LogPosition(session=session, index=0, include_by=30)
        made = make_bundle(
            ((actor, True),), settled=False, facts=facts, receipt_changes={"log": log}
        )
        collector.add(facts.request_id, made.data)
    wishes = collector.look(MOMENT)
    # One question for each operator, whatever the number of its sessions.
    asked = [wish.message.keys[0] for wish in wishes if isinstance(wish, Send)]
    assert asked == [get_log_key(first.account, 0), get_log_key(second.account, 0)]
    # The one that failed is last in turn: its other sessions come first.
    (call, _) = [wish.call for wish in wishes if isinstance(wish, Send)]
    collector.step(Unreachable(call, "out of time"), MOMENT)
    (send,) = collector.look(MOMENT)
    assert send.message.keys[0] == get_log_key(first.account, 1)


def test_a_node_gone_for_good_is_asked_ever_less_and_at_once_when_it_starts_again():
    world, collector, _ = prepare([1], 3)
    world.spoil = lambda wish, message: None
    waits = []
    wishes = collector.look(MOMENT)
    for _ in range(14):
        _, _, waiting = world.run(collector, wishes)
        (again,) = [wish for wish in waiting if isinstance(wish, SetTimer)]
        waits.append(again.after_ms)
        wishes = collector.step(Fired(again.timer), MOMENT).wishes
    assert waits[-1] >= 30_000
    world.run(collector, wishes)
    assert collector.look(MOMENT) == ()
    # A new session in the ledger tells that the node is back.
    node = make_node_record(NODE)
    world.records[get_node_key(NODE.account)] = encode(
        msgspec.structs.replace(node, sessions=node.sessions + 1)
    )
    changes = tuple(Change(key=key, value=value) for key, value in world.records.items())
    world.view.apply(BlockView(header=make_header(40), changes=changes), snapshot=True)
    world.spoil = None
    assert collector.look(MOMENT) != ()


def test_a_tile_of_another_length_is_not_held():
    # A thousand tiles of a mebibyte each would be a gigabyte of lies.
    world, collector, _ = prepare([1], 300)
    world.spoil = lambda wish, message: (
        GotLogFile(data=bytes(1 << 20)) if isinstance(message, GotLogFile) else message
    )
    _, _, waiting = world.run(collector, collector.look(MOMENT))
    assert [wish.code for wish in waiting if isinstance(wish, Report)] == ["tile.bad-length"]
    assert collector._jobs == {}


@pytest.mark.parametrize(("index", "size"), [(0, 1), (2, 5), (256, 257)])
def test_a_receipt_that_its_node_left_out_is_told_from_bad_tiles(index, size):
    """`LOG-1`: another entry at the promised index convicts by one inclusion proof."""
    world, collector, ids = prepare([index], size, entries={index: sha256(b"another")})
    finished, broken, _ = world.run(collector, collector.look(MOMENT))
    assert finished == {}
    assert broken == {ids[index]: "receipt.left-out"}
    assert len(collector) == 0


def test_one_bad_receipt_does_not_hold_up_the_others():
    world, collector, ids = prepare([1, 2, 3], 5, entries={2: sha256(b"another")})
    finished, broken, _ = world.run(collector, collector.look(MOMENT))
    assert set(finished) == {ids[1], ids[3]}
    assert broken == {ids[2]: "receipt.left-out"}


def test_a_key_of_another_account_breaks_a_bundle_for_good():
    made = make_pending(0)
    world = World([(LogPosition(session=0, index=0, include_by=30), made)], 2)
    thief = KeyRecord(account=NODES[3].account, registered_at=1, retired_at=None)
    world.records[get_key_key(GATEWAY.signer.key)] = encode(thief)
    world.settle(2)
    collector = SettlementCollector(LEDGER_AT, TRUST, world.view)
    collector.add(made.facts.request_id, made.data)
    _, broken, _ = world.run(collector, collector.look(MOMENT))
    assert broken == {made.facts.request_id: "receipt.wrong-account"}


def test_bundles_are_held_up_to_a_limit_once_each():
    world, _, _ = prepare([], 5)
    collector = SettlementCollector(LEDGER_AT, TRUST, world.view, limit=2)
    bundles = [make_pending(index) for index in range(3)]
    for made in (bundles[0], bundles[0], bundles[1]):
        collector.add(made.facts.request_id, made.data)
    assert len(collector) == 2
    with pytest.raises(Refusal, match=r"settle\.full"):
        collector.add(bundles[2].facts.request_id, bundles[2].data)
    collector.remove(bundles[0].facts.request_id)
    collector.remove(bundles[0].facts.request_id)
    collector.add(bundles[2].facts.request_id, bundles[2].data)
    assert len(collector) == 2


def test_only_pending_bundles_are_taken():
    collector = SettlementCollector(LEDGER_AT, TRUST, LedgerView())
    failed = make_bundle(failed=True)
    with pytest.raises(Refusal, match=r"receipt\.failed-request"):
        collector.add(failed.facts.request_id, failed.data)
    with pytest.raises(Refusal, match=r"encoding\.malformed"):
        collector.add(failed.facts.request_id, b"{")
    assert len(collector) == 0


def test_events_of_others_are_not_its_own():
    collector = SettlementCollector(LEDGER_AT, TRUST, LedgerView())
    assert not collector.owns(Arrived("c", GetStatus()))
    assert not collector.owns(Fired("follow:retry"))
    assert collector.step(Fired("settle:99:put"), MOMENT).wishes == ()
    assert collector.step(Fired("settle:again:" + "00" * 20 + ":0"), MOMENT).wishes == ()


def test_the_entrys_own_tile_is_always_fetched():
    assert "tile/0/001.p/1" in list_tiles(256, 257)
    assert list_tiles(0, 1) == ("tile/0/000.p/1",)


def test_what_is_finished_holds_the_same_records():
    world, collector, ids = prepare([2], 5)
    finished, _, _ = world.run(collector, collector.look(MOMENT))
    settled = decode_bundle(finished[ids[2]])
    pending = make_pending(2).bundle
    assert msgspec.structs.replace(settled, settlement=None) == pending


def test_a_settled_bundle_is_the_canonical_encoding_of_the_pending_one_and_its_proofs():
    world, collector, ids = prepare([5], 9)
    finished, _, _ = world.run(collector, collector.look(MOMENT))
    settled = decode_bundle(finished[ids[5]])
    pending = decode_bundle(make_pending(5).data)
    assert msgspec.structs.replace(settled, settlement=None) == pending
    assert settled.settlement.log == world.state.prove(get_log_key(NODE.account, 0))
