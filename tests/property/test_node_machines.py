"""Whatever is said to a node or a gateway, the machine answers; whatever a journal holds, too."""

from functools import cache

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from probatum.errors import Fault, Refusal
from probatum.nodes.gateway.journal_records import decode_journal_record as decode_gateways
from probatum.nodes.gateway.machine import Gateway
from probatum.nodes.inference.journal_records import decode_journal_record as decode_nodes
from probatum.nodes.inference.machine import InferenceNode
from probatum.protocol.messages import (
    Accepted,
    Answer,
    Answered,
    Ask,
    GetLogFile,
    GotLogFile,
    Refused,
)
from tests.unit.nodes.giver import Handing
from tests.unit.nodes.network import GATEWAY, Network, endpoint, tensor

A = endpoint("a")


@cache
def get_network():
    network = Network(("a",))
    network.register("gateway", "gateway")
    network.start_ready_node("a")
    network.start_gateway()
    network.world.run(500)
    ask(network, b"\1")
    network.world.run(2_000)
    return network


def ask(network, data):
    question = Ask(
        model="doubler",
        version=None,
        inputs=(tensor(data),),
        assurance="signed",
        salt=None,
        nonce=None,
        request_id=None,
        timeout_ms=2_000,
    )
    return network.world.wait(network.world.ask(GATEWAY, question))


def spoil(data, kind, place, flip, invented):
    """Bytes with one byte changed, cut short, or made up."""
    place %= len(data)
    if kind == "invent":
        return invented
    if kind == "cut":
        return data[:place]
    return data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :]


SPOILT = st.tuples(
    st.sampled_from(("change", "cut", "invent")),
    st.integers(0, 10_000),
    st.integers(1, 255),
    st.binary(max_size=64),
)


@given(st.sampled_from(("record", "facts", "salt", "inputs")), SPOILT)
@settings(max_examples=150, deadline=None)
def test_a_spoilt_hand_over_is_refused_and_nothing_is_written(field, how):
    network = get_network()
    height = network.world.parties[A].machine._follower.view.height
    work = Handing(height=height).make()
    good = b"\1\2\3" if field == "inputs" else getattr(work, field)
    bad = spoil(good, *how)
    if field == "inputs":
        bad = (tensor(bad),)
    before = list(network.journals["a"])
    name = network.world.ask(A, msgspec.structs.replace(work, **{field: bad}))
    assert isinstance(network.world.wait(name), Refused)
    assert network.journals["a"] == before


@given(st.sampled_from((Accepted, Answered)), SPOILT, st.binary(min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_a_spoilt_reply_never_reaches_a_client_as_an_answer(kind, how, content):
    network = get_network()
    field = "record" if kind is Accepted else "receipt"

    def meddle(_, message):
        if type(message) is not kind:
            return message
        return msgspec.structs.replace(message, **{field: spoil(getattr(message, field), *how)})

    network.world.meddle = meddle
    try:
        reply = ask(network, content)
    finally:
        network.world.meddle = lambda _, message: message
    assert isinstance(reply, Refused)
    assert reply.code == "gateway.no-answer"


@given(st.integers(0, 3), st.text(max_size=40) | st.from_regex(r"tile/[0-9x/.p]{1,20}"))
@settings(max_examples=100, deadline=None)
def test_any_log_path_is_answered(session, path):
    network = get_network()
    name = network.world.ask(A, GetLogFile(session=session, path=path))
    assert isinstance(network.world.wait(name), Refused | GotLogFile)


@given(st.sampled_from(("a", "gateway")), st.integers(0, 1_000), SPOILT)
@settings(max_examples=150, deadline=None)
def test_a_spoilt_journal_is_refused_or_read(name, place, how):
    network = get_network()
    journal = list(network.journals[name])
    place %= len(journal)
    journal[place] = spoil(journal[place], *how)
    try:
        if name == "a":
            decode_nodes(journal[place])
            InferenceNode(network.node_settings("a"), tuple(journal))
        else:
            decode_gateways(journal[place])
            Gateway(network.gateway_settings(), tuple(journal))
    except (Refusal, Fault) as error:
        code = error.code
        assert code == "node.journal-broken" or isinstance(error, Refusal)  # noqa: PT017


def test_the_network_of_these_tests_answers_what_is_not_spoilt():
    assert isinstance(ask(get_network(), b"\5"), Answer)
