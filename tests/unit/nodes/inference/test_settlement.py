"""What a node does when the ledger's log is not what its own is (LOG-1)."""

from probatum.nodes.inference.journal_records import SessionOpened, decode_journal_record
from probatum.protocol.encoding import encode
from tests.unit.nodes.giver import Handing
from tests.unit.nodes.network import Network, endpoint, operating

A = endpoint("a")


def start(**more):
    network = Network(("a",))
    network.register("gateway", "gateway")
    network.start_ready_node("a", **more)
    return network


def answer(network, request="1"):
    height = network.world.parties[A].machine._follower.view.height
    name = network.world.ask(A, Handing(request=request, height=height).make())
    network.world.wait(name, 2)


def test_a_lost_tail_is_said_and_the_session_left_alone():
    network = start()
    for n in range(3):
        answer(network, str(n))
    network.world.run(1_000)
    network.world.kill(A)
    # The disk lost the last answer, after the ledger had settled it.
    del network.journals["a"][-1]
    party = network.start_node("a")
    network.world.run_until(lambda: party.machine.is_ready)
    network.world.run(1_000)
    assert network.codes("a").count("node.log-tail-lost") == 1
    assert party.halted is None
    answer(network, "9")


def test_another_past_than_the_settled_one_stops_the_node():
    network = start()
    answer(network)
    network.world.run(1_000)
    network.world.kill(A)
    opened = network.journals["a"][0]
    # Another journal for the same session: the node must not sign on.
    other = start()
    answer(other, "other")
    network.journals["a"][:] = [opened, *other.journals["a"][1:]]
    party = network.start_node("a")
    network.world.run(1_000)
    assert party.halted.code == "node.log-differs"


def test_a_session_under_a_key_that_was_replaced_is_left_alone():
    network = start(settle_every_blocks=1_000_000)
    network.world.kill(A)
    record = decode_journal_record(network.journals["a"][0])
    replaced = SessionOpened(
        session=record.session, operating_key=operating("b").key, seen=record.seen
    )
    network.journals["a"][0] = encode(replaced)
    party = network.start_node("a")
    network.world.run_until(lambda: party.machine.is_ready)
    assert party.machine._duties.is_settled()
    assert party.halted is None


def test_transactions_that_are_refused_wait_before_they_are_tried_again():
    network = Network(("a",))
    network.register("a", "inference")
    # The hot account cannot pay: the node waits, says so and does not spin.
    party = network.start_node("a", fee_units=1)
    network.world.run(3_000)
    refused = network.codes("a").count("node.transaction-refused")
    assert not party.machine.is_ready
    assert 1 <= refused <= 10
