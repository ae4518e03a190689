"""Texts through gateway and nodes: streamed, signed, gone on with, ended early (`TEXT-1`)."""

import msgspec
import pytest

from probatum.errors import Fault, Refusal
from probatum.evidence.blame import assign_blame
from probatum.evidence.receipt import check_contents, check_pending
from probatum.evidence.texts import find_text_fault
from probatum.machine.events import Enough, Hung
from probatum.nodes.inference.compaction import compact
from probatum.nodes.inference.journal_records import PrefixRecord, decode_journal_record
from probatum.protocol.bundles import decode_bundle, encode_bundle
from probatum.protocol.messages import (
    Accepted,
    Answer,
    Ask,
    AskLogprobs,
    CancelText,
    CancelWork,
    GetBundle,
    HandOverLogprobs,
    HandOverWork,
    Noted,
    Produced,
    ProducedLogprobs,
    Refused,
)
from probatum.protocol.prefixes import open_prefix
from probatum.protocol.primitives import make_nonce, make_request_id, make_salt
from probatum.protocol.texts import (
    TextQuestion,
    make_question,
    read_answer,
    read_question,
    unpack_ids,
)
from probatum.storm import text_model
from tests.unit.nodes.network import GATEWAY, Network, endpoint

SALT = make_salt(b"s" * 32)
NONCE = make_nonce(b"n" * 32)
QUESTION = TextQuestion(prompt=(5, 6, 7), limit=60, temperature=1.0, top_k=3)


def choose_request(least=40):
    """Find a prompt whose text is long enough."""
    for first in range(1, 64):
        question = TextQuestion(prompt=(first,), limit=60, temperature=1.0, top_k=3)
        ids = text_model.write(text_model.PACKAGE, make_question(question), NONCE, ())
        if len(ids) >= least:
            return question, ids
    raise AssertionError


QUESTION, TEXT = choose_request()


def start(nodes=("a",), pens=None, **more):
    network = Network(nodes, manifest=text_model.MANIFEST)
    network.register("gateway", "gateway")
    for name in nodes:
        network.start_ready_node(name, pen=(pens or {}).get(name, text_model.write))
    network.start_gateway(**more)
    network.world.run(500)
    return network


def make_ask(**changes):
    ask = Ask(
        model="hasher",
        version=None,
        inputs=make_question(QUESTION),
        assurance="signed",
        salt=SALT,
        nonce=NONCE,
        request_id=make_request_id(b"r" * 16),
        timeout_ms=0,
        arithmetic="exact",
        stream=True,
    )
    return msgspec.structs.replace(ask, **changes)


def ask(network, **changes):
    return network.world.ask(GATEWAY, make_ask(**changes))


def wait(network, name):
    world = network.world
    world.run_until(lambda: any(isinstance(m, Answer | Refused) for m in world.replies[name]))
    return world.replies[name][-1]


def read_stream(replies):
    """Read what was streamed; each run of tokens follows the one before."""
    ids = []
    for reply in replies:
        if isinstance(reply, Produced):
            assert reply.start == len(ids)
            ids += unpack_ids(reply.ids)
    return tuple(ids)


def check(answer, inputs=None):
    verified = check_pending(answer.bundle)
    return check_contents(verified, SALT, inputs or make_question(QUESTION), answer.outputs)


def find_fault(answer, question=QUESTION, nonce=NONCE):
    text = read_answer(answer.outputs)
    chosen = text_model.choose_all(question, nonce, text.ids)
    cancellation = check_pending(answer.bundle).cancellation
    return find_text_fault(text_model.MODEL, question.limit, text, chosen, cancellation)


def test_a_text_is_streamed_and_signed_and_answered_whole():
    network = start()
    name = ask(network)
    answer = wait(network, name)
    assert read_answer(answer.outputs).ids == TEXT
    assert read_answer(answer.outputs).ended
    assert read_stream(network.world.replies[name]) == TEXT
    receipt = check(answer).receipt
    assert receipt.request.nonce == NONCE.hex()
    assert receipt.cancelled is None
    assert find_fault(answer) is None
    signed = [m.prefix for m in network.world.replies[name] if isinstance(m, Produced) and m.prefix]
    prefixes = [open_prefix(statement)[0] for statement in signed]
    assert [one.count for one in prefixes] == list(range(16, len(TEXT) + 1, 16))
    assert {one.node for one in prefixes} == {receipt.node}


def test_who_does_not_stream_hears_the_answer_alone():
    network = start()
    name = ask(network, stream=False)
    assert read_answer(wait(network, name).outputs).ids == TEXT
    assert len(network.world.replies[name]) == 1


def test_a_prefix_is_on_disk_before_it_is_said():
    network = start()
    world = network.world
    seen = []

    def look(to, message):
        if to == endpoint("a") and isinstance(message, Produced) and message.prefix:
            prefix, _ = open_prefix(message.prefix)
            seen.append(any(bytes.fromhex(prefix.root) in data for data in network.journals["a"]))
        return message

    world.meddle = look
    wait(network, ask(network))
    assert seen == [True] * (len(TEXT) // 16)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"prompt": ()}, "text.no-prompt"),
        ({"prompt": (64,)}, "text.bad-token"),
        ({"prompt": (-1,)}, "text.bad-token"),
        ({"prompt": (1,) * 65}, "schema.dim-out-of-range"),
        ({"prompt": (1,) * 190}, "text.too-long"),
        ({"limit": 0}, "text.too-long"),
        ({"limit": 121}, "schema.dim-out-of-range"),
        ({"temperature": -1.0}, "text.bad-temperature"),
        ({"temperature": float("nan")}, "text.bad-temperature"),
        ({"temperature": float("inf")}, "text.bad-temperature"),
        ({"top_k": 0}, "text.bad-top-k"),
        ({"top_k": 9}, "text.bad-top-k"),
        ({"choice": -1}, "text.bad-choice"),
    ],
)
def test_a_gateway_holds_a_request_to_the_model(changes, code):
    network = start()
    fields = {name: getattr(QUESTION, name) for name in QUESTION.__dataclass_fields__}
    inputs = make_question(TextQuestion(**(fields | changes)))
    reply = wait(network, ask(network, inputs=inputs))
    assert reply.code == code
    assert not any(isinstance(message, HandOverWork) for _, _, message in network.world.sent)
    with pytest.raises(Refusal):
        read_question(text_model.MANIFEST, inputs)


def test_a_language_model_answers_in_the_class_exact_alone():
    network = start()
    assert wait(network, ask(network, arithmetic="float")).code == "text.not-float"


def kill_after(network, node, tokens):
    """End a node's process once a request's readers have so many tokens."""

    def look(to, message):
        if (
            to == endpoint(node)
            and isinstance(message, Produced)
            and message.start + len(message.ids) // 4 >= tokens
            and network.world.parties[to].machine is not None
        ):
            network.world.kill(to)
        return message

    network.world.meddle = look


def test_another_node_goes_on_with_the_same_text():
    network = start(("a", "b"))
    name = ask(network)
    world = network.world
    world.run_until(lambda: any(isinstance(m, HandOverWork) for _, _, m in world.sent))
    first = next(to for _, to, m in world.sent if isinstance(m, HandOverWork))
    kill_after(network, first.removeprefix("http://"), 37)
    answer = wait(network, name)
    assert read_stream(world.replies[name]) == TEXT == read_answer(answer.outputs).ids
    verified = check(answer)
    assert [branch.acknowledged for branch in verified.branches] == [True, True]
    assert verified.branches[1].record.prefix is not None
    handed = [m for _, _, m in world.sent if isinstance(m, HandOverWork)]
    assert unpack_ids(handed[1].prefix.ids) == TEXT[:32]
    assert open_prefix(handed[1].prefix.statement)[1].hex() == verified.branches[1].record.prefix
    assert verified.receipt.node == verified.branches[1].record.taker


def test_a_wrong_prefix_is_refused_before_it_is_accepted_and_the_text_begun_anew():
    def lie(package, inputs, nonce, prefix):
        ids = text_model.write(package, inputs, nonce, ())
        return (*ids[:3], 1 + ids[3] % 63, *ids[4:])

    network = start(("a", "b", "c"), pens=dict.fromkeys("abc", text_model.write))
    name = ask(network)
    world = network.world
    world.run_until(lambda: any(isinstance(m, HandOverWork) for _, _, m in world.sent))
    first = next(to for _, to, m in world.sent if isinstance(m, HandOverWork))
    world.parties[first].pen = lie
    kill_after(network, first.removeprefix("http://"), 20)
    answer = wait(network, name)
    assert read_answer(answer.outputs).ids == TEXT
    verified = check(answer)
    # Who refused moved no duty; who lied holds it still.
    taken = [(branch.record.taker, branch.acknowledged) for branch in verified.branches]
    assert [acknowledged for _, acknowledged in taken] == [True, False, True]
    assert verified.branches[2].record.prefix is None
    blame = assign_blame(answer.bundle, verified.branches[0].record.answer_by + 1)
    assert (blame.status, blame.party) == ("covered", taken[0][0])
    # The reader was told another beginning, and is told no more of it.
    told = read_stream(world.replies[name])
    assert told[3] != TEXT[3]
    assert len(told) < len(TEXT)


def test_a_text_that_nobody_waits_for_is_ended():
    network = start()
    name = ask(network)
    network.world.token_ms = 100
    world = network.world
    world.run_until(lambda: len(read_stream(world.replies[name])) >= 5)
    world.tell(GATEWAY, Hung(name))
    world.run(12_000)
    (cancel,) = {m.cancellation for _, _, m in world.sent if isinstance(m, CancelWork)}
    got = world.wait(world.ask(GATEWAY, GetBundle(request_id=make_ask().request_id)))
    verified = check_pending(got.bundle)
    assert verified.cancellation.reason == "hung-up"
    assert verified.receipt.cancelled is not None
    assert any(head.name == "answer" and head.shape[0] < 40 for head in verified.receipt.outputs)
    assert cancel


@pytest.mark.parametrize("way", ["event", "message"])
def test_who_has_enough_gets_what_there_is(way):
    network = start()
    name = ask(network)
    network.world.token_ms = 20
    world = network.world
    world.run_until(lambda: len(read_stream(world.replies[name])) >= 5)
    if way == "event":
        world.tell(GATEWAY, Enough(name))
    else:
        wrong = CancelText(request_id=make_ask().request_id, salt=make_salt(b"w" * 32))
        assert world.wait(world.ask(GATEWAY, wrong)) == Noted()
        assert not any(isinstance(m, CancelWork) for _, _, m in world.sent)
        world.ask(GATEWAY, CancelText(request_id=make_ask().request_id, salt=SALT))
    answer = wait(network, name)
    text = read_answer(answer.outputs)
    assert not text.ended
    assert 5 <= len(text.ids) < 16
    assert text.ids == TEXT[: len(text.ids)]
    assert read_stream(world.replies[name]) == text.ids
    verified = check(answer)
    assert verified.cancellation.reason == "enough"
    assert any("cancelled" in line.text for line in verified.checks)
    assert find_fault(answer) is None


def test_a_text_breaks_off_only_where_that_was_asked_for():
    def stop(package, inputs, nonce, prefix):
        ids = text_model.write(package, inputs, nonce, prefix)
        return Fault("engine.broken", "no more", retryable=True) if len(prefix) > 8 else ids[:9]

    network = start(pens={"a": stop}, request_timeout_ms=2_000, text_timeout_ms=2_000)
    reply = wait(network, ask(network))
    assert isinstance(reply, Refused)
    assert "node.wrong-outputs" in network.codes("a")


@pytest.mark.parametrize("again", ["tokens", "prefix"])
def test_a_node_that_says_the_same_for_ever_is_not_listened_to(again):
    """Every message must bring something: else one node could keep a gateway busy for nothing."""
    network = start(("a", "b"))
    world = network.world
    name = ask(network)
    world.run_until(lambda: any(isinstance(m, HandOverWork) for _, _, m in world.sent))
    first = next(to for _, to, m in world.sent if isinstance(m, HandOverWork))
    kept = []

    def repeat(to, message):
        if to != first or not isinstance(message, Produced):
            return message
        if again == "tokens":
            kept.append(message)
            return kept[0]
        if message.prefix:
            kept.append(message)
            return kept[0]
        return message

    world.meddle = repeat
    answer = wait(network, name)
    verified = check(answer)
    assert verified.receipt.node == verified.branches[1].record.taker
    assert read_stream(world.replies[name]) == TEXT


def test_who_asks_again_hears_everything_again():
    network = start()
    world = network.world
    world.token_ms = 20
    name = ask(network)
    world.run_until(lambda: len(read_stream(world.replies[name])) >= 20)
    again = ask(network)
    answer = wait(network, again)
    assert read_stream(world.replies[again]) == TEXT == read_answer(answer.outputs).ids


def test_a_node_that_starts_again_signs_no_other_beginning():
    network = start(request_timeout_ms=20_000, text_timeout_ms=20_000)
    world = network.world
    kill_after(network, "a", 20)
    kill = world.meddle

    def lose(to, message):
        """The gateway never hears what was signed, so it gives the text to be begun."""
        prefixed = isinstance(message, Produced) and message.prefix
        return None if prefixed else kill(to, message)

    world.meddle = lose
    ask(network)
    world.run_until(lambda: world.parties[endpoint("a")].machine is None)

    def lie(package, inputs, nonce, prefix):
        ids = text_model.write(package, inputs, nonce, ())
        return (*ids[:3], 1 + ids[3] % 63, *ids[4:])

    network.start_node("a", pen=lie)
    world.run(15_000)
    assert "node.other-text" in network.codes("a")


def test_a_cancellation_cannot_be_taken_out_of_a_bundle_or_put_into_one():
    network = start()
    name = ask(network)
    network.world.token_ms = 20
    network.world.run_until(lambda: len(read_stream(network.world.replies[name])) >= 5)
    network.world.tell(GATEWAY, Enough(name))
    cut = decode_bundle(wait(network, name).bundle)
    other = start()
    whole = decode_bundle(wait(other, ask(other)).bundle)
    change = msgspec.structs.replace
    for wrong in (
        change(cut, cancellation=None),
        change(whole, cancellation=cut.cancellation),
        change(cut, cancellation=cut.release),
    ):
        with pytest.raises(Refusal):
            check_pending(encode_bundle(wrong))


def test_a_node_that_has_no_room_for_a_text_accepts_none():
    network = Network(("a",), manifest=text_model.MANIFEST)
    network.register("gateway", "gateway")
    network.start_ready_node("a", pen=text_model.write, open_texts=1)
    network.start_gateway()
    world = network.world
    world.run(500)
    world.token_ms = 50
    first = ask(network)
    world.run_until(lambda: world.replies[first])
    second = ask(network, request_id=make_request_id(b"s" * 16))
    wait(network, second)
    busy = [message.code for _, _, message in world.said if isinstance(message, Refused)]
    assert "node.busy" in busy
    assert read_answer(world.replies[first][-1].outputs).ids == TEXT


def list_prefixes(journal):
    records = [decode_journal_record(data) for data in journal]
    return [record.count for record in records if isinstance(record, PrefixRecord)]


def test_of_a_text_that_was_never_answered_the_longest_prefix_is_kept():
    network = start()
    world = network.world
    wait(network, ask(network))
    journal = network.journals["a"]
    assert list_prefixes(journal) == list(range(16, len(TEXT) + 1, 16))
    assert list_prefixes(compact(lambda: iter(tuple(journal)), kept_bytes=0)) == []
    kill_after(network, "a", 34)
    ask(network, request_id=make_request_id(b"s" * 16))
    world.run_until(lambda: world.parties[endpoint("a")].machine is None)
    assert list_prefixes(compact(lambda: iter(tuple(journal)), kept_bytes=0)) == [32]


def test_tokens_wait_for_the_acceptance():
    network = start()
    said = []
    network.world.meddle = lambda to, message: (
        said.append(type(message)) if to == endpoint("a") else None,
        message,
    )[1]
    wait(network, ask(network))
    assert said.index(Accepted) < said.index(Produced)


def make_wish(top, **changes):
    """The same request, whose tokens shall come with logprobs."""
    plain = make_ask(**changes)
    fields = {name: getattr(plain, name) for name in plain.__struct_fields__}
    return AskLogprobs(**fields, top_logprobs=top)


def read_logprobs(replies):
    return b"".join(one.logprobs for one in replies if isinstance(one, ProducedLogprobs))


@pytest.mark.parametrize("top", [0, 3, 20])
def test_logprobs_come_with_the_tokens_and_change_nothing_else(top):
    network = start()
    world = network.world
    name = world.ask(GATEWAY, make_wish(top))
    answer = wait(network, name)
    assert read_stream(world.replies[name]) == TEXT
    assert read_logprobs(world.replies[name]) == world.weigh(TEXT, top)
    # Receipt and facts are those of the same request without the wish.
    other = start()
    plain = wait(other, ask(other))
    facts = [check_pending(one.bundle).receipt.request for one in (answer, plain)]
    assert facts[0] == facts[1]
    told = other.world.said + [(None, None, message) for _, _, message in other.world.sent]
    assert not any(isinstance(m, ProducedLogprobs | HandOverLogprobs) for _, _, m in told)


def test_another_node_goes_on_with_the_logprobs_too():
    network = start(("a", "b"))
    world = network.world
    name = world.ask(GATEWAY, make_wish(3))
    world.run_until(lambda: any(isinstance(m, HandOverWork) for _, _, m in world.sent))
    first = next(to for _, to, m in world.sent if isinstance(m, HandOverWork))
    kill_after(network, first.removeprefix("http://"), 37)
    answer = wait(network, name)
    assert read_stream(world.replies[name]) == TEXT == read_answer(answer.outputs).ids
    assert read_logprobs(world.replies[name]) == world.weigh(TEXT, 3)
    handed = [m for _, _, m in world.sent if isinstance(m, HandOverWork)]
    assert [type(one) for one in handed] == [HandOverLogprobs] * 2
    assert unpack_ids(handed[1].prefix.ids) == TEXT[:32]


def test_who_comes_later_hears_the_logprobs_that_were_told():
    network = start()
    world = network.world
    world.token_ms = 20
    first = world.ask(GATEWAY, make_wish(2))
    world.run_until(lambda: len(read_stream(world.replies[first])) >= 10)
    second = world.ask(GATEWAY, make_wish(2))
    wait(network, first)
    assert read_logprobs(world.replies[first]) == world.weigh(TEXT, 2)
    assert read_logprobs(world.replies[second]) == world.weigh(TEXT, 2)
    # Another wish under the same id is another request.
    for other in (make_ask(), make_wish(3)):
        assert wait(network, world.ask(GATEWAY, other)).code == "gateway.other-request"


def lie_none(message):
    return Produced(start=message.start, ids=message.ids, prefix=message.prefix)


def lie_short(message):
    return msgspec.structs.replace(message, logprobs=message.logprobs[:-1])


def lie_positive(message):
    return msgspec.structs.replace(message, logprobs=b"\0\0\x80?" + message.logprobs[4:])


def lie_no_token(message):
    # An alternative's number is behind the token's own logprob.
    return msgspec.structs.replace(
        message, logprobs=message.logprobs[:4] + b"\x40\0\0\0" + message.logprobs[8:]
    )


@pytest.mark.parametrize("lie", [lie_none, lie_short, lie_positive, lie_no_token])
def test_a_node_that_tells_other_logprobs_than_asked_for_is_not_listened_to(lie):
    network = start(("a", "b"))
    world = network.world
    name = world.ask(GATEWAY, make_wish(2))
    world.run_until(lambda: any(isinstance(m, HandOverWork) for _, _, m in world.sent))
    first = next(to for _, to, m in world.sent if isinstance(m, HandOverWork))

    def meddle(to, message):
        return lie(message) if to == first and isinstance(message, ProducedLogprobs) else message

    world.meddle = meddle
    answer = wait(network, name)
    verified = check(answer)
    assert verified.receipt.node == verified.branches[1].record.taker
    assert read_logprobs(world.replies[name]) == world.weigh(TEXT, 2)


def test_logprobs_that_nobody_asked_for_are_refused():
    network = start(("a", "b"))
    world = network.world
    name = ask(network)
    world.run_until(lambda: any(isinstance(m, HandOverWork) for _, _, m in world.sent))
    first = next(to for _, to, m in world.sent if isinstance(m, HandOverWork))

    def push(to, message):
        if to != first or type(message) is not Produced or not message.ids:
            return message
        said = world.weigh(unpack_ids(message.ids), 0)
        return ProducedLogprobs(
            start=message.start, ids=message.ids, prefix=message.prefix, logprobs=said
        )

    world.meddle = push
    verified = check(wait(network, name))
    assert verified.receipt.node == verified.branches[1].record.taker
    assert not read_logprobs(world.replies[name])


def test_an_engine_without_the_logprobs_that_were_asked_for_is_a_fault():
    network = start()
    network.world.weigh = lambda ids, top: b""
    name = network.world.ask(GATEWAY, make_wish(1, timeout_ms=2_000))
    assert isinstance(wait(network, name), Refused)
    assert "node.no-logprobs" in network.codes("a")


def test_a_node_counts_the_room_that_logprobs_may_take():
    network = Network(("a",), manifest=text_model.MANIFEST)
    network.register("gateway", "gateway")
    need = QUESTION.limit * (4 + 20 * 8)
    network.start_ready_node("a", pen=text_model.write, text_bytes=need - 1)
    network.start_gateway(request_timeout_ms=2_000, text_timeout_ms=2_000)
    world = network.world
    world.run(500)
    assert isinstance(wait(network, world.ask(GATEWAY, make_wish(20))), Refused)
    assert "node.busy" in [m.code for _, _, m in world.said if isinstance(m, Refused)]
    name = world.ask(GATEWAY, make_wish(19, request_id=make_request_id(b"s" * 16)))
    assert read_answer(wait(network, name).outputs).ids == TEXT


def test_room_for_logprobs_is_held_and_given_back():
    network = start()
    machine = network.world.parties[GATEWAY].machine
    name = network.world.ask(GATEWAY, make_wish(20))
    network.world.run_until(lambda: read_stream(network.world.replies[name]))
    inputs = sum(len(tensor.data) for tensor in make_question(QUESTION))
    assert machine._desk.open_bytes == inputs + QUESTION.limit * (4 + 20 * 8)
    wait(network, name)
    assert machine._desk.open_bytes == 0
