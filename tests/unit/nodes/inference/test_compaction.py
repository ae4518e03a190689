import pytest

from probatum.nodes.inference import compaction
from probatum.nodes.inference.handover import find_tree
from probatum.nodes.inference.journal_records import (
    AcceptedRecord,
    AnsweredRecord,
    LoggedRecord,
    decode_journal_record,
)
from probatum.nodes.inference.machine import InferenceNode
from probatum.protocol.messages import Accepted, Answered
from tests.unit.nodes.giver import Handing
from tests.unit.nodes.network import Network, endpoint

A = endpoint("a")
COUNT = 6


def compact(journal, kept_bytes):
    return tuple(compaction.compact(lambda: iter(journal), kept_bytes=kept_bytes))


def count(journal, kind):
    return sum(isinstance(decode_journal_record(data), kind) for data in journal)


@pytest.fixture
def network():
    network = Network(("a",))
    network.register("gateway", "gateway")
    network.start_ready_node("a")
    return network


@pytest.fixture
def handings(network):
    handings = []
    for number in range(COUNT):
        height = network.world.parties[A].machine._follower.view.height
        handing = Handing(request=str(number), height=height)
        network.world.wait(network.world.ask(A, handing.make()), 2)
        handings.append(handing)
    return handings


def get_root(node):
    log = node._book.get(0)
    return log.durable, log.get_root(len(log))


def test_without_its_answers_a_node_has_the_same_log(network, handings):
    journal = tuple(network.journals["a"])
    short = compact(journal, 0)
    assert [count(short, kind) for kind in (AcceptedRecord, AnsweredRecord, LoggedRecord)] == [
        0,
        0,
        COUNT,
    ]
    assert 2 * sum(map(len, short)) < sum(map(len, journal))
    assert compact(short, 0) == short
    nodes = [InferenceNode(network.node_settings("a"), records) for records in (journal, short)]
    assert get_root(nodes[0]) == get_root(nodes[1])
    assert nodes[0]._recovered.lapses == nodes[1]._recovered.lapses == ()
    for handing in handings:
        tree = find_tree(handing.make_record(), handing.digest)
        assert all(tree in node._recovered.answered for node in nodes)


def test_what_fits_stays_whole_the_newest_first(network, handings):
    journal = tuple(network.journals["a"])
    assert compact(journal, 10**9) == journal
    whole = sum(len(data) for data in journal[-2:])
    short = compact(journal, whole)
    assert short[-2:] == journal[-2:]
    assert count(short, LoggedRecord) == COUNT - 1


def test_a_promise_that_was_not_kept_stays(network, handings):
    journal = tuple(network.journals["a"])
    last = max(place for place, data in enumerate(journal) if count([data], AnsweredRecord))
    torn = journal[:last] + journal[last + 1 :]
    node = InferenceNode(network.node_settings("a"), compact(torn, 0))
    assert [request for request, _ in node._recovered.lapses] == [
        handings[-1].make_record().request_id
    ]


def test_what_was_shortened_is_not_answered_anew(network, handings):
    network.world.kill(A)
    journal = network.journals["a"]
    journal[:] = compact(tuple(journal), sum(len(data) for data in journal[-2:]))
    network.start_node("a")
    network.world.run_until(lambda: network.world.parties[A].machine.is_ready)
    for handing in handings[:-1]:
        reply = network.world.wait(network.world.ask(A, handing.make()))
        assert reply.code == "handover.answered-before"
    name = network.world.ask(A, handings[-1].make())
    network.world.wait(name, 2)
    assert [type(reply) for reply in network.world.replies[name]] == [Accepted, Answered]
