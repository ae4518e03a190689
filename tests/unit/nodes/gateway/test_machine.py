import msgspec
import pytest

from probatum.errors import Fault
from probatum.evidence.blame import assign_blame
from probatum.evidence.receipt import check_bundle, check_contents, check_pending, check_records
from probatum.machine import events
from probatum.nodes.gateway.journal_records import ReleasedRecord, decode_journal_record
from probatum.nodes.gateway.machine import Gateway
from probatum.protocol.bundles import decode_bundle
from probatum.protocol.custody import decode_handover, decode_release
from probatum.protocol.dsse import decode_payload
from probatum.protocol.manifests import TensorSpec
from probatum.protocol.messages import (
    Accepted,
    Answer,
    Answered,
    Ask,
    GetBundle,
    GetStatus,
    GotBundle,
    HandOverWork,
    Refused,
)
from probatum.protocol.primitives import address_to_hex, make_digest, make_request_id
from probatum.protocol.tensors import Tensor
from tests.unit.nodes.network import (
    GATEWAY,
    PACKAGE,
    Network,
    account,
    endpoint,
    operating,
    tensor,
)

RID = make_request_id(b"r" * 16)


def start_network(nodes=("a", "b", "c"), **more):
    network = Network(nodes)
    network.register("gateway", "gateway")
    for name in nodes:
        network.start_ready_node(name)
    network.start_gateway(**more)
    network.world.run(500)
    return network


@pytest.fixture
def network():
    return start_network()


def make_ask(data=b"\1\2\3", **changes):
    ask = Ask(
        model="doubler",
        version=None,
        inputs=(tensor(data),),
        assurance="signed",
        salt=None,
        nonce=None,
        request_id=None,
        timeout_ms=0,
    )
    return msgspec.structs.replace(ask, **changes)


def ask(network, **changes):
    return network.world.wait(network.world.ask(GATEWAY, make_ask(**changes)))


def get_bundle(network, request_id):
    return network.world.wait(network.world.ask(GATEWAY, GetBundle(request_id=request_id)))


def settle(network, request_id, limit_ms=5_000):
    for _ in range(limit_ms // 100):
        got = get_bundle(network, request_id)
        if got.settled:
            return got.bundle
        network.world.run(100)
    raise AssertionError("not settled")


def list_handed(network):
    """Nodes that were handed something, in order."""
    return [
        to.removeprefix("http://")
        for _, to, message in network.world.sent
        if isinstance(message, HandOverWork)
    ]


def get_reports(network):
    return [(r.code, r.message) for r in network.world.parties[GATEWAY].reports]


def get_release(bundle):
    return decode_release(decode_payload(decode_bundle(bundle).release))


def find_first(network):
    """Which node the policy asks first for this request: found out on a twin network."""
    ask(network, request_id=RID, salt=b"s" * 32, nonce=b"n" * 32)
    return list_handed(network)[0]


SAME = {"request_id": RID, "salt": b"s" * 32, "nonce": b"n" * 32}


def test_a_request_is_answered_with_a_receipt_that_settles_and_verifies_offline(network):
    answer = ask(network)
    assert isinstance(answer, Answer)
    assert answer.outputs == (tensor(b"\2\4\6", "y"),)
    pending = check_pending(answer.bundle)
    check_contents(pending, answer.salt, (tensor(b"\1\2\3"),), answer.outputs)
    assert pending.receipt.request.salt_by == "gateway"
    got = get_bundle(network, answer.request_id)
    assert got == GotBundle(settled=False, bundle=answer.bundle)
    settled = check_bundle(settle(network, answer.request_id), network.check)
    assert settled.receipt == pending.receipt
    assert assign_blame(answer.bundle, 10_000).status == "kept"
    assert list_handed(network) == list_handed(network)[:1]


def test_what_the_client_draws_is_kept(network):
    answer = ask(network, **SAME)
    facts = check_pending(answer.bundle).receipt.request
    assert (answer.request_id, answer.salt) == (RID, SAME["salt"])
    assert (facts.salt_by, facts.nonce_by) == ("client", "client")
    assert facts.nonce == SAME["nonce"].hex()


def test_the_outcome_is_told_after_it_is_on_disk(network):
    world, journal = network.world, network.journals["gateway"]
    name = world.ask(GATEWAY, make_ask())
    world.run_until(lambda: any(isinstance(said[2], Answered) for said in world.said))
    world.run(1)
    # The gateway has the answer; its record is on the way to the disk.
    assert (journal, world.replies[name]) == ([], [])
    answer = world.wait(name)
    record = decode_journal_record(journal[0])
    assert record == ReleasedRecord(
        request_id=answer.request_id, bundle=answer.bundle, answered=True
    )
    assert answer.salt not in journal[0]


def test_a_node_that_dies_after_it_accepted_is_covered_by_another(network):
    world = network.world
    for name in "abc":
        world.parties[endpoint(name)].compute_ms = 400
    name = world.ask(GATEWAY, make_ask())
    world.run_until(lambda: any(isinstance(said[2], Accepted) for said in world.said))
    first = list_handed(network)[0]
    world.run(10)
    world.kill(endpoint(first))
    answer = world.wait(name)
    assert isinstance(answer, Answer)
    assert len(list_handed(network)) == 2
    bundle = decode_bundle(answer.bundle)
    assert [len(envelope.signatures) for envelope in bundle.custody] == [2, 2]
    blame = assign_blame(answer.bundle, 10_000)
    assert blame.status == "covered"
    assert blame.party.account == "0x" + account(first).address.hex()
    check_bundle(settle(network, answer.request_id), network.check)


def test_a_node_that_cannot_be_reached_leaves_a_giver_only_record(network):
    twin = start_network()
    first = find_first(twin)
    network.world.kill(endpoint(first))
    answer = ask(network, **SAME)
    assert isinstance(answer, Answer)
    assert list_handed(network)[0] == first
    bundle = decode_bundle(answer.bundle)
    assert [len(envelope.signatures) for envelope in bundle.custody] == [1, 2]
    check_bundle(settle(network, RID), network.check)


def test_a_silent_node_is_followed_by_the_next_and_may_still_answer(network):
    world = network.world
    for name in "abc":
        world.parties[endpoint(name)].compute_ms = 3_000
    network.start_gateway(branch_timeout_ms=500)
    world.run(300)
    answer = ask(network)
    assert isinstance(answer, Answer)
    # The first node answers first, though two others were asked after it was overdue.
    assert len(list_handed(network)) == 3
    release = get_release(answer.bundle)
    assert release.answered_branch == release.branches[0]


def test_when_all_fail_a_failed_release_names_what_was_tried(network):
    for name in "abc":
        network.world.kill(endpoint(name))
    refused = ask(network, request_id=RID)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.request_id) == ("gateway.no-answer", RID)
    assert refused.retryable
    got = get_bundle(network, RID)
    assert got.settled, "a failed request has nothing left to settle"
    records = check_records(decode_bundle(got.bundle))
    assert records.release.outcome == "failed"
    assert records.release.reason == "gateway.unreachable"
    assert len(records.branches) == 8
    assert set(list_handed(network)) == {"a", "b", "c"}
    assert assign_blame(got.bundle, 10_000).status == "undetermined"


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_who_wants_one_node_is_answered_by_that_one(network, name):
    answer = ask(network, node=account(name).address)
    receipt = check_pending(answer.bundle).receipt
    assert receipt.node.account == address_to_hex(account(name).address)
    assert list_handed(network) == [name]


def test_a_request_for_one_node_is_shown_to_no_other(network):
    network.world.kill(endpoint("b"))
    refused = ask(network, request_id=RID, node=account("b").address)
    assert (refused.code, refused.request_id) == ("gateway.no-answer", RID)
    assert set(list_handed(network)) == {"b"}


def test_a_wish_for_a_node_that_does_not_offer_it_is_refused_without_records(network):
    refused = ask(network, node=account("nobody").address)
    assert (refused.code, refused.retryable) == ("gateway.no-node", True)
    assert address_to_hex(account("nobody").address) in refused.message
    assert network.journals["gateway"] == []


def test_the_same_request_for_another_node_is_another_request(network):
    assert isinstance(ask(network, **SAME, node=account("a").address), Answer)
    assert ask(network, **SAME, node=account("b").address).code == "gateway.other-request"


def test_a_deadline_ends_a_request_and_names_who_held_it(network):
    for name in "abc":
        network.world.parties[endpoint(name)].compute_ms = 60_000
    refused = ask(network, timeout_ms=1_500)
    assert refused.code == "gateway.no-answer"
    bundle = get_bundle(network, refused.request_id).bundle
    assert get_release(bundle).reason == "gateway.deadline"
    blame = assign_blame(bundle, 10_000)
    assert blame.status == "lost"


def tamper_outputs(message):
    outputs = tuple(
        msgspec.structs.replace(t, data=bytes([t.data[0] ^ 1]) + t.data[1:])
        for t in message.outputs
    )
    return msgspec.structs.replace(message, outputs=outputs)


def cut_receipt(message):
    return msgspec.structs.replace(message, receipt=message.receipt[:-1])


def flip_receipt(message):
    data = bytearray(message.receipt)
    data[60] = data[60] + 1
    return msgspec.structs.replace(message, receipt=bytes(data))


def drop_outputs(message):
    return msgspec.structs.replace(message, outputs=())


@pytest.mark.parametrize("spoil", [tamper_outputs, cut_receipt, flip_receipt, drop_outputs])
def test_a_wrong_answer_fails_its_branch_only(network, spoil):
    first = find_first(start_network())

    def meddle(_, message):
        if isinstance(message, Answered) and not network.spoiled:
            network.spoiled = True
            return spoil(message)
        return message

    network.spoiled = False
    network.world.meddle = meddle
    answer = ask(network, **SAME)
    assert isinstance(answer, Answer)
    assert answer.outputs == (tensor(b"\2\4\6", "y"),)
    assert list_handed(network)[0] == first
    assert len(list_handed(network)) == 2
    failed = [why for code, why in get_reports(network) if code == "gateway.branch-failed"]
    assert len(failed) == 1
    check_pending(answer.bundle)


def test_an_answer_larger_than_one_may_be_is_not_taken(network, monkeypatch):
    # It would not fit into the frame that tells it to the client.
    monkeypatch.setattr("probatum.nodes.inference.work.limits.ANSWER_BYTES", 3)
    assert isinstance(ask(network), Answer)
    network.world.meddle = lambda _, m: (
        msgspec.structs.replace(m, outputs=(tensor(b"1234", "y"),))
        if isinstance(m, Answered)
        else m
    )
    assert ask(network).code == "gateway.no-answer"
    reasons = {why for code, why in get_reports(network) if code == "gateway.branch-failed"}
    assert reasons == {"gateway.wrong-answer: the outputs are larger than an answer may be"}


def test_an_acceptance_of_something_else_fails_its_branch(network):
    seen = []

    def meddle(_, message):
        if isinstance(message, Accepted):
            seen.append(message)
            if len(seen) == 2:
                return seen[0]
        return message

    network.world.meddle = meddle
    ask(network)
    assert isinstance(ask(network, data=b"\7"), Answer)
    failed = [why for code, why in get_reports(network) if code == "gateway.branch-failed"]
    assert [why.split(":")[0] for why in failed] == ["gateway.other-acceptance"]


def test_an_answer_without_acceptance_is_not_taken(network):
    network.world.meddle = lambda _, m: None if isinstance(m, Accepted) else m
    refused = ask(network)
    assert refused.code == "gateway.no-answer"
    assert get_release(get_bundle(network, refused.request_id).bundle).reason == (
        "receipt.unacknowledged"
    )


def test_a_message_that_is_no_answer_fails_its_branch(network):
    network.world.meddle = lambda _, m: GetStatus() if isinstance(m, Accepted | Answered) else m
    assert ask(network).code == "gateway.no-answer"


def test_a_fault_of_one_node_is_covered_by_another(network):
    def fail(_):
        raise Fault("runtime.crashed", "the engine crashed", retryable=True)

    first = find_first(start_network())
    network.world.parties[endpoint(first)].compute = fail
    answer = ask(network, **SAME)
    assert isinstance(answer, Answer)
    assert len(list_handed(network)) == 2


def test_a_request_that_breaks_the_schema_is_refused_before_anything_is_signed(network):
    refused = ask(network, inputs=(tensor(b"\1", "z"),))
    assert (refused.code, refused.retryable) == ("schema.missing-tensor", False)
    assert refused.request_id is None
    assert list_handed(network) == []


def test_no_nodes_word_ends_a_request_as_at_fault(network):
    network.world.meddle = lambda _, m: (
        Refused(code="schema.wrong-dtype", message="no")
        if isinstance(m, Accepted | Answered)
        else m
    )
    refused = ask(network)
    assert (refused.code, refused.retryable) == ("gateway.no-answer", True)
    bundle = get_bundle(network, refused.request_id).bundle
    assert get_release(bundle).reason == "schema.wrong-dtype"


def test_outputs_that_are_not_the_models_fail_their_branch(network):
    wrong = (Tensor(name="y", dtype="int8", shape=(3,), data=b"\2\4\6"),)
    for name in "abc":
        network.world.parties[endpoint(name)].compute = lambda _: wrong
    # An honest node says so itself; this one does not look.
    for name in "abc":
        node = network.world.parties[endpoint(name)].machine
        for package, manifest in node._settings.packages.items():
            loose = (TensorSpec(name="y", dtype="int8", shape=("n",)),)
            node._settings.packages[package] = msgspec.structs.replace(manifest, outputs=loose)
    refused = ask(network)
    assert refused.code == "gateway.no-answer"
    assert ("gateway.branch-failed", True) in {
        (code, "outputs are not the model's" in why) for code, why in get_reports(network)
    }


def test_who_asked_under_a_key_is_in_the_record_that_accepts_and_in_no_other(network):
    first = find_first(start_network())
    network.world.kill(endpoint(first))
    network.world.replies["keyed"] = []
    message = make_ask(**SAME)
    network.world.tell(GATEWAY, events.Arrived("keyed", message, "key:abcd2345"))
    answer = network.world.wait("keyed")
    assert isinstance(answer, Answer)
    records = [
        decode_handover(decode_payload(envelope))
        for envelope in decode_bundle(answer.bundle).custody
    ]
    assert [record.accepted_from for record in records] == ["key:abcd2345", None]
    assert check_pending(answer.bundle)


def test_one_nodes_lie_about_the_request_stops_nothing(network):
    first = find_first(start_network())

    def meddle(to, message):
        if to == endpoint(first) and isinstance(message, Accepted | Answered):
            return Refused(code="schema.no-such-thing", message="no")
        return message

    network.world.meddle = meddle
    answer = ask(network, **SAME)
    assert isinstance(answer, Answer)
    assert list_handed(network)[0] == first
    assert len(list_handed(network)) == 2


@pytest.mark.parametrize(
    "code", ["", "No.", "schema.\x1b[2J", "schema", "a.b\n", "schema." + "x" * 99]
)
def test_a_refusal_without_a_proper_code_is_not_passed_on_nor_signed(network, code):
    network.world.meddle = lambda _, m: (
        Refused(code=code, message="no") if isinstance(m, Accepted | Answered) else m
    )
    refused = ask(network)
    assert refused.code == "gateway.no-answer"
    bundle = get_bundle(network, refused.request_id).bundle
    assert get_release(bundle).reason == "gateway.wrong-answer"


def test_a_node_that_repeats_itself_is_not_listened_to(network, monkeypatch):
    # Each acceptance costs two checks of signatures: a flood of them is cut off.
    from probatum.nodes.gateway import failover

    checks = []
    check = failover.check_accepted
    monkeypatch.setattr(failover, "check_accepted", lambda *a: checks.append(a) or check(*a))
    for name in "abc":
        network.world.parties[endpoint(name)].compute_ms = 10_000
    name = network.world.ask(GATEWAY, make_ask())
    network.world.run_until(lambda: checks)
    party = network.world.parties[GATEWAY]
    (request,) = [request for _, request in party.machine._desk._open.items()]
    call = f"hand:{request.request_id}:0"
    for _ in range(100):
        network.world.tell(GATEWAY, events.Returned(call, checks[0][0], False))
    network.world.run(50)
    assert len(checks) <= 6
    assert request.branches[0].state == "ended"
    network.world.run(10_100)
    assert isinstance(network.world.replies[name][0], Answer)


def test_a_node_that_accepts_late_and_then_hangs_is_followed_by_the_next(network):
    network.world.kill(GATEWAY)
    network.start_gateway(accept_timeout_ms=5_000, branch_timeout_ms=300)
    network.world.run(300)
    first = find_first(start_network())
    network.world.meddle = lambda to, m: (
        None if to == endpoint(first) and isinstance(m, Accepted | Answered) else m
    )
    answer = ask(network, **SAME, timeout_ms=2_000)
    assert isinstance(answer, Answer)
    assert list_handed(network)[0] == first


def test_nothing_more_is_signed_once_the_ledger_has_another_key_for_the_gateway(network):
    # A hand-over dated after the key was retired would spoil the bundle for good.
    for name in "abc":
        network.world.parties[endpoint(name)].compute_ms = 3_000
    name = network.world.ask(GATEWAY, make_ask(**SAME))
    network.world.run(500)
    network.register("gateway", "gateway", key="gateway's next")
    network.world.run(500)
    assert len(list_handed(network)) == 1
    network.world.kill(endpoint(list_handed(network)[0]))
    network.world.run(35_000)
    assert network.world.replies[name][0].code == "gateway.no-answer"
    assert len(list_handed(network)) == 1


def test_a_hand_over_spoilt_on_the_way_fails_its_branch_only(network):
    def meddle(_, message):
        if isinstance(message, HandOverWork) and not network.spoiled:
            network.spoiled = True
            return msgspec.structs.replace(message, inputs=(), record=b"{}")
        return message

    network.spoiled = False
    network.world.meddle = meddle
    assert isinstance(ask(network), Answer)
    assert len(list_handed(network)) == 2


def test_an_unknown_model_leaves_no_record(network):
    refused = ask(network, model="nobody-has-this")
    assert (refused.code, refused.request_id) == ("gateway.unknown-model", None)
    assert refused.hint
    assert ask(network, version="99").code == "gateway.unknown-model"
    assert network.journals["gateway"] == []


def test_a_model_that_nobody_offers_is_refused_without_records():
    network = Network(())
    network.register("gateway", "gateway")
    network.start_gateway()
    network.world.run(300)
    refused = ask(network)
    assert (refused.code, refused.retryable, refused.request_id) == (
        "gateway.no-node",
        True,
        None,
    )


def test_the_same_request_again_gets_the_same_answer(network):
    one = ask(network, **SAME)
    assert ask(network, **SAME) == one
    assert len(list_handed(network)) == 1
    refused = ask(network, **SAME, data=b"\7")
    assert refused.code == "gateway.other-request"


def test_the_same_request_while_it_runs_joins(network):
    world = network.world
    for name in "abc":
        world.parties[endpoint(name)].compute_ms = 100
    one = world.ask(GATEWAY, make_ask(**SAME))
    world.run(20)
    two = world.ask(GATEWAY, make_ask(**SAME))
    three = world.ask(GATEWAY, make_ask(**SAME, data=b"\7"))
    assert world.wait(three).code == "gateway.other-request"
    assert world.wait(one) == world.wait(two)
    assert len(list_handed(network)) == 1


def test_who_knows_the_id_alone_cannot_find_out_a_short_input_by_guessing(network):
    # SALT-1: the gateway drew the salt, the bundle shows the id; the guess must tell nothing.
    world = network.world
    for name in "abc":
        world.parties[endpoint(name)].compute_ms = 100
    one = world.ask(GATEWAY, make_ask(request_id=RID))
    world.run(20)
    early = [world.ask(GATEWAY, make_ask(data, request_id=RID)) for data in (b"\1\2\3", b"\7")]
    world.wait(one)
    late = [world.ask(GATEWAY, make_ask(data, request_id=RID)) for data in (b"\1\2\3", b"\7")]
    for names, code in ((early, "gateway.no-salt"), (late, "gateway.answered-before")):
        right, wrong = (world.wait(name) for name in names)
        assert right == wrong, "the right guess is told from no other"
        assert right.code == code
    salted = make_ask(request_id=RID, salt=b"s" * 32)
    assert world.wait(world.ask(GATEWAY, salted)).code == "gateway.answered-before"


def test_an_asker_that_hangs_up_does_not_stop_the_request(network):
    world = network.world
    name = world.ask(GATEWAY, make_ask(**SAME))
    world.run(2)
    world.tell(GATEWAY, events.Hung(name))
    world.run(300)
    assert world.replies[name] == []
    assert isinstance(get_bundle(network, RID), GotBundle)
    assert isinstance(ask(network, **SAME), Answer)


def test_after_a_restart_receipts_settle_and_are_served(network):
    answer = ask(network, **SAME)
    assert not get_bundle(network, RID).settled
    network.world.kill(GATEWAY)
    network.start_gateway()
    refused = ask(network, **SAME)
    assert refused.code == "gateway.answered-before"
    settled = settle(network, RID)
    assert check_bundle(settled, network.check).receipt == check_pending(answer.bundle).receipt
    network.world.run(10)
    network.world.kill(GATEWAY)
    network.start_gateway()
    assert get_bundle(network, RID) == GotBundle(settled=True, bundle=settled)


def test_receipts_of_a_node_that_restarted_still_settle(network):
    answer = ask(network)
    node = list_handed(network)[0]
    network.world.kill(endpoint(node))
    network.world.run(500)
    assert not get_bundle(network, answer.request_id).settled
    network.start_node(node)
    verified = check_bundle(settle(network, answer.request_id), network.check)
    assert verified.receipt.log.session == 0


def test_a_restarted_nodes_newest_session_is_the_one_that_counts(network):
    for name in "abc":
        network.world.kill(endpoint(name))
        party = network.start_node(name)
        network.world.run_until(lambda party=party: party.machine.is_ready)
    # The gateway's view may be a block behind: the answer waits for it.
    answer = ask(network)
    assert check_pending(answer.bundle).receipt.log.session == 1
    assert len(list_handed(network)) == 1


def lose_the_first_answer(network, node="a"):
    """The node has its answer on disk; it dies before anybody hears of it."""
    world, journal = network.world, network.journals[node]
    before = len(journal)
    world.meddle = lambda _, m: None if isinstance(m, Answered) else m
    name = world.ask(GATEWAY, make_ask(**SAME))
    world.run_until(lambda: len(journal) >= before + 2)
    world.meddle = lambda _, m: m
    world.kill(endpoint(node))
    return name


def test_an_answer_that_a_restart_kept_back_is_taken_from_the_earlier_session():
    network = start_network(("a",))
    name = lose_the_first_answer(network)
    network.start_node("a")
    answer = network.world.wait(name)
    assert isinstance(answer, Answer)
    receipt = check_pending(answer.bundle).receipt
    assert (receipt.log.session, receipt.log.index) == (0, 0)
    check_bundle(settle(network, RID), network.check)
    assert assign_blame(answer.bundle, 10_000).status == "kept"


def test_an_answer_in_a_session_that_had_ended_is_not_taken():
    # A restored backup that signs on in its old session: nothing there can ever be settled.
    network = start_network(("a",))
    network.world.kill(endpoint("a"))
    network.world.run(300)
    party = network.start_node("a")
    network.world.run_until(lambda: party.machine.is_ready)
    network.world.run(300)
    desk, ended = party.machine._desk, party.machine._book.get(0)
    ended.opener = party.machine._follower.view.get_log(account("a").address, 0).opener
    accept = desk._accept
    desk._accept = lambda conversation, handed, message, log: accept(
        conversation, handed, message, ended
    )
    refused = ask(network)
    assert refused.code == "gateway.no-answer"
    failed = {why for code, why in get_reports(network) if code == "gateway.branch-failed"}
    assert failed == {"gateway.wrong-answer: the receipt's log session ended before it was asked"}


def test_an_answer_that_does_not_name_its_sessions_opener_is_not_taken():
    # Nobody could be convicted by it (`LOG-1`).
    network = start_network(("a",))
    assert isinstance(ask(network), Answer)
    machine = network.world.parties[endpoint("a")].machine
    machine._book.get(0).opener = make_digest(b"e" * 32)
    assert ask(network).code == "gateway.no-answer"
    failed = {why for code, why in get_reports(network) if code == "gateway.branch-failed"}
    assert failed == {"gateway.wrong-answer: the receipt does not name who opened its session"}


def test_an_unknown_request_has_no_bundle(network):
    assert get_bundle(network, RID).code == "gateway.unknown-request"


def test_bounds_are_kept():
    network = start_network(("a",), open_requests=2)
    network.world.parties[endpoint("a")].compute_ms = 1_000
    names = [network.world.ask(GATEWAY, make_ask(data=bytes([n]))) for n in range(3)]
    refused = network.world.wait(names[2])
    assert (refused.code, refused.retryable) == ("gateway.busy", True)
    assert isinstance(network.world.wait(names[0]), Answer)


def test_full_of_pending_bundles_is_busy():
    network = start_network(("a",), pending_bundles=1)
    answer = ask(network)
    assert isinstance(answer, Answer)
    assert ask(network).code == "gateway.busy"
    settle(network, answer.request_id)
    assert isinstance(ask(network), Answer)


def test_a_node_that_never_settles_does_not_shut_the_gateway_for_good():
    network = start_network(("a",), pending_bundles=4)
    network.world.parties[endpoint("a")].machine._duties._settlement.plan = lambda *, hurry: ()
    answers = [ask(network, data=bytes([n])) for n in range(4)]
    assert ask(network).code == "gateway.busy"
    network.world.run(4_500)
    # The promised heights are past; the older half is not waited for any more.
    assert [code for code, _ in get_reports(network)].count("gateway.receipts-overdue") == 1
    assert isinstance(ask(network), Answer)
    for answer in answers:
        got = get_bundle(network, answer.request_id)
        assert got == GotBundle(settled=False, bundle=answer.bundle)
    party = network.world.parties[GATEWAY]
    assert len(party.machine._collector) == 3
    # Nor does a restart wait for them: the journal says so.
    network.world.run(10)
    again = Gateway(party.machine._settings, tuple(party.journal))
    assert len(again._collector) == 3
    assert again._store.get(answers[0].request_id) == (False, answers[0].bundle)


def test_malformed_questions_are_refused(network):
    assert ask(network, request_id="Z" * 26).code == "primitive.bad-request-id"
    bad = msgspec.structs.replace(tensor(b"\1"), shape=(2,))
    assert ask(network, inputs=(bad,)).code == "tensor.bad-length"
    reply = network.world.wait(network.world.ask(GATEWAY, GetStatus()))
    assert reply.code == "gateway.wrong-message"
    assert list_handed(network) == []


def test_a_gateway_that_nobody_registered_says_so():
    network = Network(("a",))
    network.start_ready_node("a")
    gateway = Gateway(network.gateway_settings(), ())
    network.world.start(GATEWAY, gateway)
    assert ask(network).code == "gateway.not-ready"
    network.world.run(500)
    assert ask(network).code == "gateway.not-registered"
    network.register("gateway", "gateway")
    network.world.run(500)
    assert isinstance(ask(network), Answer)


def test_stopping_finishes_what_is_open(network):
    world = network.world
    for name in "abc":
        world.parties[endpoint(name)].compute_ms = 300
    name = world.ask(GATEWAY, make_ask())
    world.run(10)
    world.tell(GATEWAY, events.Stopping())
    assert ask(network, data=b"\7").code == "gateway.stopping"
    assert isinstance(world.wait(name), Answer)
    world.run(10)
    assert world.parties[GATEWAY].halted.code == "gateway.stopped"


def test_a_node_that_failed_is_asked_last_for_a_while(network):
    first = find_first(start_network())
    network.world.kill(endpoint(first))
    ask(network, **SAME)
    before = len(list_handed(network))
    for n in range(5):
        ask(network, data=bytes([n]))
    assert first not in list_handed(network)[before:]


def test_work_is_shared_by_lot(network):
    for n in range(12):
        assert isinstance(ask(network, data=bytes([n])), Answer)
    assert set(list_handed(network)) == {"a", "b", "c"}


def test_ids_of_the_test_network_are_what_they_should_be():
    # The helpers name keys by purpose: no two people share one.
    keys = {operating(name).key for name in ("a", "b", "c", "gateway", "engine")}
    assert len(keys) == 5
    assert len(PACKAGE) == 32
