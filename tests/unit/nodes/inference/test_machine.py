import dataclasses

import pytest
from msgspec.structs import replace

from probatum.errors import Fault
from probatum.machine import events, wishes
from probatum.nodes.inference.journal_records import (
    AcceptedRecord,
    AnsweredRecord,
    SessionOpened,
    decode_journal_record,
)
from probatum.nodes.inference.machine import InferenceNode
from probatum.protocol import limits
from probatum.protocol.dsse import Envelope, check_envelope
from probatum.protocol.encoding import decode, decode_document
from probatum.protocol.hashing import sha256
from probatum.protocol.merkle import check_inclusion, leaf_hash
from probatum.protocol.messages import (
    Accepted,
    Answered,
    Ask,
    GetLogFile,
    GotLogFile,
    Refused,
    Submit,
)
from probatum.protocol.notes import log_origin, open_checkpoint
from probatum.protocol.receipts import decode_receipt
from probatum.protocol.records import (
    LogRecord,
    NodeRecord,
    OfferRecord,
    get_log_key,
    get_offer_key,
)
from probatum.protocol.tiles import (
    decode_entry_bundle,
    entries_path,
    inclusion_from_tiles,
    needed_tiles,
)
from tests.unit.nodes.giver import Handing
from tests.unit.nodes.network import (
    BLOCK_MS,
    PACKAGE,
    Network,
    account,
    endpoint,
    operating,
    tensor,
)
from tests.unit.nodes.world import double

A = endpoint("a")


@pytest.fixture
def network():
    network = Network(("a",))
    network.register("gateway", "gateway")
    network.start_ready_node("a")
    return network


def hand(network, handing, *, count=2):
    handing = handing.but(height=handing.height + get_height(network) - 5)
    name = network.world.ask(A, handing.make())
    network.world.wait(name, count)
    return handing, network.world.replies[name]


def get_height(network):
    return network.world.parties[A].machine._follower.view.height


def open_receipt(message, name="a"):
    envelope = decode_document(Envelope, message.receipt, limit_bytes=limits.ENVELOPE_BYTES)
    return decode_receipt(check_envelope(envelope, (operating(name).key,)))


def read_log(network, path, session=0):
    reply = network.world.wait(network.world.ask(A, GetLogFile(session=session, path=path)))
    return reply.data if isinstance(reply, GotLogFile) else reply


def get_log(network, session=0):
    value = network.get_state(get_log_key(account("a").address, session))
    return decode(LogRecord, value, limit_bytes=1_000) if value else None


def test_work_is_accepted_computed_logged_signed_and_answered(network):
    handing, (accepted, answered) = hand(network, Handing())
    # CUSTODY-1: the very record, countersigned.
    envelope = decode_document(Envelope, accepted.record, limit_bytes=limits.ENVELOPE_BYTES)
    payload = check_envelope(envelope, (operating("gateway").key, operating("a").key))
    assert sha256(payload) == handing.digest
    assert answered.outputs == (tensor(b"\x02\x04\x06", "y"),)
    receipt = open_receipt(answered)
    assert receipt.request == handing.make_facts()
    assert receipt.custody == handing.digest.hex()
    assert (receipt.log.session, receipt.log.index) == (0, 0)
    assert receipt.log.include_by > get_height(network)
    assert receipt.log.opener == get_log(network).opener.hex()


def test_nothing_is_said_before_it_is_on_disk(network):
    journal = network.journals["a"]
    before = len(journal)
    handing, _ = hand(network, Handing())
    accepted, answered = (decode_journal_record(data) for data in journal[before:])
    assert isinstance(accepted, AcceptedRecord)
    assert isinstance(answered, AnsweredRecord)
    assert accepted.record_digest == answered.record_digest == handing.digest
    # Replies in the order of the world: none before its record was flushed.
    node = InferenceNode(network.node_settings("a"), tuple(journal))
    assert node.sessions == (0,)
    assert len(node._book.get(0)) == 1


def test_an_answer_that_is_there_before_its_acceptance_is_on_disk_waits_for_it(network):
    machine, moment = network.world.parties[A].machine, events.Moment(0, bytes(32))
    handing = Handing(height=get_height(network))
    branch = handing.but(record={"branch": 1, "accepts": False, "previous": handing.digest.hex()})
    journals, jobs = [], []
    for conversation, asked in (("first", handing), ("second", branch)):
        wished = machine.step(events.Arrived(conversation, asked.make()), moment)
        journal, compute = wished
        assert (type(journal), type(compute)) == (wishes.Journal, wishes.Compute)
        journals.append(journal.ticket)
        jobs.append(compute)
    (answer,) = machine.step(events.Computed(jobs[0].job, double(jobs[0].inputs)), moment)
    assert machine.step(events.Computed(jobs[1].job, double(jobs[1].inputs)), moment) == ()
    said = [
        (wish.conversation, type(wish.message))
        for ticket in (*journals, answer.ticket)
        for wish in machine.step(events.Durable(ticket), moment)
    ]
    both = ("first", "second")
    assert said == [*((who, Accepted) for who in both), *((who, Answered) for who in both)]


def test_a_node_is_told_apart_by_what_it_flushed_when_it_dies_in_between(network):
    # A crash after the acceptance was flushed and said: the journal shows a lapse, no entry.
    party = network.world.parties[A]
    party.compute_ms = 10_000
    handing, _ = hand(network, Handing(), count=1)
    network.world.kill(A)
    network.start_node("a")
    network.world.run(1_000)
    lapses = [r for r in network.world.parties[A].reports if r.code == "node.lapse"]
    assert [dict(r.fields)["request"] for r in lapses] == [handing.make_record().request_id]


def test_the_same_hand_over_again_gets_the_same_bytes(network):
    first, replies = hand(network, Handing())
    again = network.world.ask(A, first.make())
    network.world.wait(again, 2)
    assert network.world.replies[again] == replies
    # And after a crash, from the journal, in a new session.
    network.world.kill(A)
    network.start_node("a")
    network.world.run_until(lambda: network.world.parties[A].machine.is_ready)
    again = network.world.ask(A, first.make())
    network.world.wait(again, 2)
    assert network.world.replies[again] == replies
    assert network.world.parties[A].machine.sessions == (0, 1)


def test_an_answer_that_was_forgotten_is_not_given_another_index():
    # LOG-1: whoever floods the node until it forgets must not get a second receipt for one record.
    network = Network(("a",))
    network.register("gateway", "gateway")
    network.start_ready_node("a", recent_bytes=0)
    first, _ = hand(network, Handing())
    branch = first.but(record={"branch": 1, "accepts": False, "previous": first.digest.hex()})
    for handing in (first, branch):
        reply = network.world.wait(network.world.ask(A, handing.make()))
        assert reply.code == "handover.answered-before"
    # Two branches at once: the second is computed when the first is answered and forgotten.
    network.world.parties[A].compute_ms = 20
    early = Handing(request="2", height=get_height(network))
    late = early.but(record={"branch": 1, "accepts": False, "previous": early.digest.hex()})
    network.world.ask(A, early.make())
    network.world.run(10)
    name = network.world.ask(A, late.make())
    assert network.world.wait(name, 2).code == "handover.answered-before"
    assert len(network.world.parties[A].machine._book.get(0)) == 2
    network.world.kill(A)
    network.start_node("a", recent_bytes=0)
    network.world.run_until(lambda: network.world.parties[A].machine.is_ready)
    reply = network.world.wait(network.world.ask(A, first.make()))
    assert reply.code == "handover.answered-before"


def test_who_asks_while_it_runs_gets_the_same_answer(network):
    network.world.parties[A].compute_ms = 50
    height = get_height(network)
    handing = Handing(height=height)
    one = network.world.ask(A, handing.make())
    network.world.run(10)
    two = network.world.ask(A, handing.make())
    network.world.wait(one, 2)
    network.world.wait(two, 2)
    assert network.world.replies[one] == network.world.replies[two]
    assert len(network.world.parties[A].machine._book.get(0)) == 1


def test_another_branch_of_an_answered_tree_gets_the_same_receipt(network):
    first, replies = hand(network, Handing())
    branch = first.but(
        record={"branch": 1, "accepts": False, "previous": first.digest.hex()},
    )
    name = network.world.ask(A, branch.make())
    network.world.wait(name, 2)
    assert network.world.replies[name] == replies


def test_two_branches_that_run_side_by_side_get_one_index(network):
    network.world.parties[A].compute_ms = 50
    first = Handing(height=get_height(network))
    branch = first.but(
        record={"branch": 1, "accepts": False, "previous": first.digest.hex()},
    )
    one = network.world.ask(A, first.make())
    two = network.world.ask(A, branch.make())
    network.world.wait(one, 2)
    network.world.wait(two, 3)
    # Whoever waits for the second branch hears both acceptances: the receipt cites the first.
    (first_accepted, answered), replies = network.world.replies[one], network.world.replies[two]
    assert replies[0] != first_accepted
    assert replies[1:] == [first_accepted, answered]
    assert len(network.world.parties[A].machine._book.get(0)) == 1


def test_another_acceptance_under_the_same_request_id_is_other_work(network):
    # A gateway that lost its memory signs a new first record: its receipt must cite that one.
    first, (_, one) = hand(network, Handing())
    again = first.but(record={"given_at": first.height - 1})
    name = network.world.ask(A, again.make())
    two = network.world.wait(name, 2)
    assert open_receipt(two).custody == again.digest.hex()
    assert open_receipt(one).log.index != open_receipt(two).log.index


def test_who_has_the_bundle_but_not_the_salt_is_not_told_the_answer(network):
    # SALT-1: a bundle, which anybody may see, holds the hand-over and, in the receipt, the facts.
    first, _ = hand(network, Handing())
    reply = network.world.wait(
        network.world.ask(A, first.but(message={"salt": b"t" * 32, "inputs": ()}).make())
    )
    assert reply.code == "handover.wrong-salt"
    # Nor is who asks while the work still runs.
    network.world.parties[A].compute_ms = 50
    running = Handing(request="2", height=get_height(network))
    network.world.ask(A, running.make())
    network.world.run(10)
    stranger = network.world.ask(A, running.but(message={"salt": b"t" * 32}).make())
    network.world.run(200)
    assert [reply.code for reply in network.world.replies[stranger]] == ["handover.wrong-salt"]


def test_a_tree_answered_once_is_not_answered_for_other_facts(network):
    first, _ = hand(network, Handing())
    other = first.but(
        facts={"sealed": True},
        record={"branch": 1, "accepts": False, "previous": first.digest.hex()},
    )
    reply = network.world.wait(network.world.ask(A, other.make()))
    assert reply.code == "handover.other-facts"


WRONG = {
    "not-an-envelope": (Handing(message={"record": b"{}"}), "encoding.malformed"),
    "signed-by-nobody": (Handing(signers=()), "dsse.signature-count"),
    "signed-by-another": (Handing(signers=("publisher",)), "dsse.key-id"),
    "signed-by-two": (Handing(signers=("gateway", "a")), "dsse.signature-count"),
    "stranger": (Handing(giver="publisher", signers=("publisher",)), "handover.unknown-giver"),
    "for-another-node": (Handing(taker="b"), "handover.not-for-me"),
    "facts-of-another-request": (
        Handing(message={"facts": b"{}"}),
        "handover.other-facts",
    ),
    "facts-under-another-id": (
        Handing(record={"request_id": "0" * 26}),
        "handover.other-facts",
    ),
    "stale": (Handing(record={"given_at": 1, "answer_by": 2}), "handover.stale"),
    "due-too-late": (Handing(record={"answer_by": 10_000}), "handover.too-far"),
    "from-the-future": (
        Handing(record={"given_at": 9_999, "answer_by": 10_000}),
        "handover.too-far",
    ),
    "other-model": (
        Handing(facts={"model": {"package": "11" * 32}}),
        "handover.unknown-model",
    ),
    "wrong-salt": (Handing(message={"salt": b"t" * 32}), "handover.wrong-salt"),
    "wrong-inputs": (
        Handing(message={"inputs": (tensor(b"\x09\x09\x09"),)}),
        "handover.wrong-inputs",
    ),
    "inputs-lost-on-the-way": (Handing(message={"inputs": ()}), "handover.wrong-inputs"),
    "not-the-models-inputs": (Handing(name="z"), "schema.missing-tensor"),
    "torn-tensor": (
        Handing(message={"inputs": (replace(tensor(b"\1\2"), shape=(3,)),)}),
        "tensor.bad-length",
    ),
}


@pytest.fixture(scope="module")
def steady():
    network = Network(("a",))
    network.register("gateway", "gateway")
    network.start_ready_node("a")
    return network


@pytest.mark.parametrize("case", WRONG)
def test_wrong_hand_overs_are_refused_by_code(steady, case):
    from probatum.protocol.requests import ModelRef

    handing, code = WRONG[case]
    if "model" in handing.facts:
        handing = handing.but(facts={"model": ModelRef(**handing.facts["model"])})
    handing = handing.but(height=get_height(steady), request=case)
    before = len(steady.journals["a"])
    reply = steady.world.wait(steady.world.ask(A, handing.make()))
    assert isinstance(reply, Refused)
    assert reply.code == code
    assert len(steady.journals["a"]) == before, "a refused hand-over leaves no trace"


def test_a_promise_too_short_to_be_kept_is_not_made(steady):
    # CUSTODY-1: a gateway could have the node accept, be late by a block, and be blamed for it.
    window = steady.world.parties[A].machine._follower.view.get_params().answer_window_blocks
    codes = []
    for blocks in (1, window // 2 - 1, window // 2 + 1):
        height = get_height(steady)
        handing = Handing(
            request=f"short {blocks}", height=height, record={"answer_by": height + blocks}
        )
        name = steady.world.ask(A, handing.make())
        codes.append(getattr(steady.world.wait(name), "code", None))
    assert codes == ["handover.stale", "handover.stale", None]


def test_a_giver_that_is_no_gateway_is_refused(steady):
    # Node a is registered, but not as a gateway: it can hand over to nobody.
    steady.register("publisher", "inference")
    handing = Handing(giver="publisher", signers=("publisher",), height=get_height(steady))
    steady.world.run(300)
    reply = steady.world.wait(steady.world.ask(A, handing.make()))
    assert reply.code == "handover.unknown-giver"


def test_a_message_for_somebody_else_is_refused(steady):
    ask = Ask(
        model="doubler",
        version=None,
        inputs=(),
        assurance="signed",
        salt=None,
        nonce=None,
        request_id=None,
        timeout_ms=0,
    )
    reply = steady.world.wait(steady.world.ask(A, ask))
    assert reply.code == "node.wrong-message"


def test_a_full_node_says_busy_and_that_it_may_be_asked_later():
    network = Network(("a",))
    network.register("gateway", "gateway")
    network.start_ready_node("a", open_requests=2, compute_ms=100)
    height = get_height(network)
    names = [network.world.ask(A, Handing(request=str(n), height=height).make()) for n in range(3)]
    reply = network.world.wait(names[2])
    assert (reply.code, reply.retryable) == ("node.busy", True)
    assert isinstance(network.world.wait(names[0], 2), Answered)


def test_a_failing_model_is_said_and_leaves_no_entry(network):
    def fail(_):
        raise Fault("runtime.out-of-memory", "too large", retryable=False)

    network.world.parties[A].compute = fail
    _, (accepted, refused) = hand(network, Handing())
    assert isinstance(accepted, Accepted)
    assert (refused.code, refused.retryable) == ("runtime.out-of-memory", False)
    assert len(network.world.parties[A].machine._book.get(0)) == 0
    # Asked again, it is tried again.
    network.world.parties[A].compute = double
    _, replies = hand(network, Handing())
    assert isinstance(replies[1], Answered)


def test_outputs_that_break_the_manifest_are_not_signed(network):
    network.world.parties[A].compute = lambda inputs: inputs
    _, (_, refused) = hand(network, Handing())
    assert refused.code == "node.wrong-outputs"
    assert "node.wrong-outputs" in network.codes("a")


def test_an_answer_too_large_to_be_kept_is_refused_and_not_written_down(network, monkeypatch):
    # Written down, the node could not read its journal again: one request would end it for good.
    hand(network, Handing())
    before = len(network.journals["a"])
    monkeypatch.setattr(limits, "ANSWER_BYTES", 2)
    _, (accepted, refused) = hand(network, Handing(request="2"))
    assert isinstance(accepted, Accepted)
    assert (refused.code, refused.retryable) == ("node.answer-too-large", False)
    assert len(network.journals["a"]) == before + 1
    assert len(network.world.parties[A].machine._book.get(0)) == 1
    InferenceNode(network.node_settings("a"), tuple(network.journals["a"]))


def test_the_largest_answer_can_be_sent_told_on_and_read_again(network):
    from probatum.protocol.frames import FrameReader, encode_frame
    from probatum.protocol.messages import Answer
    from probatum.protocol.primitives import make_request_id, make_salt

    output = bytes(limits.ANSWER_BYTES)
    network.world.parties[A].compute = lambda _: (tensor(output, "y"),)
    _, (_, answered) = hand(network, Handing())
    assert FrameReader().feed(encode_frame(answered)) == (answered,)
    told = Answer(
        request_id=make_request_id(bytes(16)),
        outputs=answered.outputs,
        salt=make_salt(b"s" * 32),
        bundle=bytes(limits.BUNDLE_BYTES),
    )
    assert FrameReader().feed(encode_frame(told)) == (told,)
    InferenceNode(network.node_settings("a"), tuple(network.journals["a"]))


def test_checkpoint_and_tiles_prove_every_receipt_and_settle(network):
    answers = [hand(network, Handing(request=str(n)))[1][1] for n in range(5)]
    origin = log_origin(network.node_settings("a").domain, account("a").address, 0)
    checkpoint = open_checkpoint(read_log(network, "checkpoint"), origin, operating("a").key)
    assert checkpoint.size == 5
    entries = decode_entry_bundle(read_log(network, entries_path(0, 5)), 5)
    for answer in answers:
        envelope = decode_document(Envelope, answer.receipt, limit_bytes=limits.ENVELOPE_BYTES)
        payload = check_envelope(envelope, (operating("a").key,))
        index = decode_receipt(payload).log.index
        assert entries[index] == sha256(payload)
        tiles = {path: read_log(network, path) for path in needed_tiles(index, 5)}
        proof = inclusion_from_tiles(index, 5, tiles)
        check_inclusion(leaf_hash(sha256(payload)), index, 5, proof, checkpoint.root)
    network.world.run(1_000)
    log = get_log(network)
    assert (log.size, log.root) == (5, checkpoint.root)
    assert read_log(network, entries_path(0, 6)).code == "tile.not-there"
    assert read_log(network, "checkpoint", session=7).code == "log.unknown-session"
    assert read_log(network, "tile/x").code == "tile.bad-path"


def test_receipts_of_an_earlier_life_still_settle_and_a_new_session_is_opened(network):
    party = network.world.parties[A]
    hand(network, Handing())
    network.world.kill(A)
    assert get_log(network).size == 0
    party = network.start_node("a")
    network.world.run_until(lambda: party.machine.is_ready)
    network.world.run(1_000)
    assert get_log(network).size == 1
    assert party.machine.sessions == (0, 1)
    _, (_, answered) = hand(network, Handing(request="2"))
    assert open_receipt(answered).log.session == 1
    network.world.run(1_000)
    assert get_log(network, 1).size == 1


def start_again(network):
    """Kill the node and start it anew; tell after how many blocks it takes work."""
    network.world.kill(A)
    begun = network.world.now_ms
    party = network.start_node("a")
    network.world.run_until(lambda: party.machine.is_ready)
    return (network.world.now_ms - begun) / BLOCK_MS


def test_after_many_crashes_a_node_is_ready_soon_stays_alive_and_settles_everything(network):
    for life in range(12):
        hand(network, Handing(request=str(life)))
        assert start_again(network) <= 3
    assert sum(get_log(network, session).size for session in range(12)) < 12
    network.world.run(5 * BLOCK_MS)
    heard = []
    for _ in range(40):
        network.world.run(BLOCK_MS)
        record = decode(NodeRecord, network.get_node_bytes("a"), limit_bytes=1_000)
        heard.append(get_height(network) - record.heartbeat_at)
    assert max(heard) < 20, "30 blocks without a heartbeat end a node's routing"
    assert [get_log(network, session).size for session in range(12)] == [1] * 12


def test_a_node_that_crashed_with_a_transaction_on_its_way_is_ready_soon(network):
    for _ in range(5):
        network.world.kill(A)
        network.start_node("a")
        sent = len(network.world.sent)
        network.world.run_until(
            lambda sent=sent: any(
                isinstance(message, Submit) for *_, message in network.world.sent[sent:]
            )
        )
        network.world.run(2)
    assert start_again(network) <= 6
    assert "node.transaction-refused" not in network.codes("a")


def test_a_session_that_was_written_down_and_not_used_is_burned(network):
    # The crash comes after the number was journaled and before its transaction went out.
    network.world.kill(A)
    header = InferenceNode(network.node_settings("a"), tuple(network.journals["a"]))._recovered.seen
    from probatum.protocol.encoding import encode

    opened = SessionOpened(session=1, operating_key=operating("a").key, seen=header)
    network.journals["a"].append(encode(opened))
    party = network.start_node("a")
    network.world.run_until(lambda: party.machine.is_ready)
    assert party.machine._duties.log.session == 2
    assert "node.session-skipped" in network.codes("a")
    assert len(party.machine._book.get(1)) == 0


def test_a_second_copy_makes_the_first_one_stop(network):
    old = network.world.parties[A]
    new = InferenceNode(network.node_settings("a"), ())
    copy = network.world.start("http://a2", new, journal=[])
    network.world.run_until(lambda: copy.machine.is_ready)
    network.world.run(500)
    assert old.halted.code == "node.newer-session"
    assert copy.halted is None


@pytest.mark.parametrize("lead_ms", [0, 1, 40, 99, 100, 101, 250])
def test_two_copies_started_at_once_never_sign_into_one_session(lead_ms):
    # LOG-1: same keys, same payer, same nonce, same empty journal; only chance tells them apart.
    network = Network(("a",))
    network.register("gateway", "gateway")
    network.register("a", "inference")
    one = network.start_node("a")
    network.world.run(lead_ms)
    two = network.world.start(
        "http://a2", InferenceNode(network.node_settings("a"), ()), journal=[]
    )
    given = {}
    for turn in range(40):
        network.world.run(100)
        for at in (A, "http://a2"):
            height = network.world.parties[at].machine._follower.view.height
            handing = Handing(request=f"{at} {turn}", height=height)
            name = network.world.ask(at, handing.make())
            network.world.run(20)
            for reply in network.world.replies[name]:
                if isinstance(reply, Answered):
                    receipt = open_receipt(reply)
                    place = (receipt.log.session, receipt.log.index)
                    assert given.setdefault(place, receipt) == receipt, "two under one index"
    assert given
    assert [party.halted is None for party in (one, two)].count(True) == 1
    assert {party.halted.code for party in (one, two) if party.halted} == {"node.newer-session"}


def test_a_ledger_that_goes_back_stops_the_node(network):
    network.world.kill(A)
    seen = decode_journal_record(network.journals["a"][0]).seen
    assert seen.header.height > 1
    younger = Network(("a",))
    younger.journals["a"] = network.journals["a"]
    party = younger.start_node("a")
    younger.world.run(500)
    assert party.halted.code == "node.ledger-went-back"


def test_an_unregistered_node_waits_and_says_why():
    network = Network(("a",))
    party = network.start_node("a")
    network.world.run(1_000)
    assert network.codes("a") == ["node.not-registered"]
    assert not party.machine.is_ready
    reply = network.world.wait(network.world.ask(A, Handing().make()))
    assert isinstance(reply, Refused)
    network.register("a", "inference")
    network.world.run_until(lambda: party.machine.is_ready)


def test_offers_follow_the_settings(network):
    network.world.run(500)
    key = get_offer_key(account("a").address, PACKAGE, "float")
    offer = decode(OfferRecord, network.get_state(key), limit_bytes=1_000)
    assert offer.price_units == 0
    network.world.kill(A)
    network.start_node("a", price_units=7)
    network.world.run(2_000)
    offer = decode(OfferRecord, network.get_state(key), limit_bytes=1_000)
    assert offer.price_units == 7
    network.world.kill(A)
    settings = network.node_settings("a")
    bare = InferenceNode(
        dataclasses.replace(settings, packages={}),
        tuple(network.journals["a"]),
    )
    network.world.start(A, bare, journal=network.journals["a"])
    network.world.run(2_000)
    assert network.get_state(key) is None


def test_a_node_stays_alive_in_the_ledger(network):
    network.world.run(6_000)
    record = decode(NodeRecord, network.get_node_bytes("a"), limit_bytes=1_000)
    assert record.heartbeat_at + 20 > get_height(network)


def test_stopping_finishes_what_is_held_settles_and_halts(network):
    party = network.world.parties[A]
    party.compute_ms = 300
    height = get_height(network)
    name = network.world.ask(A, Handing(height=height).make())
    network.world.wait(name, 1)
    network.world.tell(A, events.Stopping())
    late = network.world.wait(network.world.ask(A, Handing(request="2", height=height).make()))
    assert (late.code, late.retryable) == ("node.stopping", True)
    assert isinstance(network.world.wait(name, 2), Answered)
    network.world.run_until(lambda: party.halted is not None)
    assert party.halted.code == "node.stopped"
    assert get_log(network).size == 1


def test_a_journal_that_contradicts_itself_is_refused(network):
    hand(network, Handing())
    opened, *rest = network.journals["a"]
    with pytest.raises(Fault) as caught:
        InferenceNode(network.node_settings("a"), tuple(rest))
    assert caught.value.code == "node.journal-broken"
    with pytest.raises(Fault):
        InferenceNode(network.node_settings("a"), (opened, opened))
