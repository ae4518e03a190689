"""Following a chain that validators seal: sets change, nodes lag, and two pasts are noticed."""

from types import SimpleNamespace

import pytest
from msgspec.structs import replace as change

from probatum.client.sync import LedgerFollower
from probatum.consensus.trusting import make_header_check
from probatum.evidence.forks import check_fork, make_fork
from probatum.machine.events import Fired, Moment, Returned
from probatum.machine.wishes import Report, Send, SetTimer
from probatum.protocol.blocks import BlockView
from probatum.protocol.messages import Follow, Followed, GetHeader, GotHeader, Refused
from tests.light_chain import PERIOD_MS, LightChain, get_now_ms, make_voters

LEDGER_AT = "http://127.0.0.1:1"
SETS = {
    0: make_voters([0, 1, 2, 3]),
    3: make_voters([1, 2, 3, 4]),
    5: make_voters([2, 3, 4, 5]),
    7: make_voters([3, 4, 5, 6]),
    9: make_voters([4, 5, 6, 7]),
}
CHAIN = LightChain(SETS, length=20)
FORK = LightChain(SETS, length=20, branch=b"another past")
CHECK = make_header_check(CHAIN.make_trust(5), get_now_ms(20))
NO_HEIGHT = Refused(code="full.no-height", message="not there")


class Network:
    """A full node that shows a chain up to a height, and a follower of it."""

    def __init__(self, *, at, chain=CHAIN, trust=0, seen=None, now=None):
        self.at, self.chain, self.asked, self.reports = at, chain, [], []
        self.now = now or get_now_ms(20)
        believed = CHAIN.make_trust(trust)
        self.follower = LedgerFollower(LEDGER_AT, (b"node/",), believed, seen=seen)
        self.wishes = self.follower.start(self.moment)
        self.went_back, self.headers = False, ()

    @property
    def moment(self):
        return Moment(self.now, bytes(32))

    def reply(self, message):
        match message:
            case GetHeader(height=height):
                return (
                    GotHeader(header=self.chain.sign(height or self.at))
                    if (height <= self.at)
                    else NO_HEIGHT
                )
            case Follow(after=after) if 0 < after < self.at:
                headers = [self.chain.sign(height) for height in range(after + 1, self.at + 1)]
                views = tuple(BlockView(header=header, changes=()) for header in headers)
                return Followed(snapshot=False, blocks=views)
            case Follow(after=after) if after != self.at:
                view = BlockView(header=self.chain.sign(self.at), changes=())
                return Followed(snapshot=True, blocks=(view,))
            case Follow():
                return Followed(snapshot=False, blocks=())

    def turn(self):
        """Have one wish granted; whether something came of it."""
        self.reports += [wish.code for wish in self.wishes if isinstance(wish, Report)]
        wish = next((wish for wish in self.wishes if isinstance(wish, Send | SetTimer)), None)
        match wish:
            case Send(call=call, message=message):
                self.asked.append(message)
                event = Returned(call, self.reply(message), last=True)
            case SetTimer(timer=timer):
                event = Fired(timer)
            case _:
                return False
        step = self.follower.step(event, self.moment)
        self.wishes, self.went_back, self.headers = step.wishes, step.went_back, step.headers
        return True

    def run(self, turns=40):
        """Go on until the view is level with the node and nothing is in doubt."""
        for _ in range(turns):
            if self.follower.view.height == self.at or not self.turn():
                return self
        return self

    def list_heights(self):
        return [message.height for message in self.asked if isinstance(message, GetHeader)]


def test_from_genesis_over_all_sets_to_the_last_header():
    network = Network(at=13).run()
    assert network.follower.view.height == 13
    # The last header is found first, by headers between; no snapshot is fetched in vain.
    assert network.list_heights() == [0, 6, 3]
    assert sum(isinstance(message, Follow) for message in network.asked) == 1
    assert network.reports == []


def test_blocks_one_by_one_while_every_validator_changes():
    network = Network(at=1).run()
    for height in range(2, 16):
        network.at = height
        network.run()
        assert network.follower.view.height == height
    assert network.list_heights() == [0]


def test_a_later_life_begins_where_the_earlier_one_was():
    network = Network(at=14, seen=CHAIN.sign(8)).run()
    assert network.follower.view.height == 14
    assert network.list_heights()[:2] == [8, 0]


def test_a_newer_trust_file_counts_more_than_what_was_seen():
    network = Network(at=14, seen=CHAIN.sign(2), trust=11).run()
    assert network.follower.view.height == 14
    assert network.list_heights() == [0]


def test_a_node_that_lags_is_asked_again_and_nobody_stops():
    network = Network(at=6, seen=CHAIN.sign(8)).run(6)
    assert network.follower.view.height == 0
    assert not network.follower.stopped
    assert set(network.reports) == {"light.before-trust"}
    network.at = 9
    assert network.run().follower.view.height == 9


def test_two_sealed_blocks_of_a_seen_height_stop_the_follower():
    network = Network(at=12, chain=FORK, seen=CHAIN.sign(8)).run()
    assert network.went_back
    assert network.follower.stopped
    assert network.wishes[0].code == "follow.went-back"
    assert network.headers == (CHAIN.sign(8), FORK.sign(8))
    check_fork(make_fork(*network.headers), CHECK)


def test_a_block_whose_parent_is_another_stops_the_follower():
    network = Network(at=6).run()
    network.chain, network.at = FORK, 8
    network.run()
    assert network.follower.stopped
    assert network.headers == (CHAIN.sign(6), FORK.sign(7))
    check_fork(make_fork(*network.headers), CHECK)


def test_another_block_of_the_engine_over_the_same_state_stops_it_too():
    network = Network(at=8, seen=CHAIN.sign(8))
    network.chain = SimpleNamespace(sign=lambda height: CHAIN.sign(height, data_hash=b"\1" * 32))
    network.run()
    assert network.follower.stopped
    assert network.headers == (CHAIN.sign(8), CHAIN.sign(8, data_hash=b"\1" * 32))
    check_fork(make_fork(*network.headers), CHECK)


def test_what_contradicts_the_trust_file_stops_it_with_the_one_header_that_there_is():
    network = Network(at=8, chain=FORK, trust=9).run()
    assert network.follower.stopped
    assert network.headers == (FORK.sign(8),)


def test_strangers_stop_nobody():
    strangers = LightChain({0: make_voters(range(30, 34))}, length=20)
    network = Network(at=12, chain=strangers, seen=CHAIN.sign(8)).run(12)
    assert not network.follower.stopped
    assert network.follower.view.height == 0
    assert set(network.reports) == {"light.too-little-trust"}
    network.chain = CHAIN
    assert network.run().follower.view.height == 12


def test_a_snapshot_too_far_ahead_is_reached_by_headers_between():
    network = Network(at=2).run()
    network.at = 14
    far = BlockView(header=CHAIN.sign(14), changes=())
    sent = network.wishes[0]
    step = network.follower.step(
        Returned(sent.call, Followed(snapshot=True, blocks=(far,)), last=True), network.moment
    )
    assert step.blocks == ()
    network.wishes = step.wishes
    network.run()
    assert network.follower.view.height == 14
    assert network.reports == ["light.too-little-trust"]


def test_a_node_that_refuses_a_header_between_is_asked_again():
    network = Network(at=13)
    network.turn()
    sent = network.wishes[0]
    assert sent.message == GetHeader(height=6)
    network.wishes = network.follower.step(
        Returned(sent.call, NO_HEIGHT, last=True), network.moment
    ).wishes
    assert network.run().follower.view.height == 13
    assert network.reports == ["full.no-height"]


def test_after_the_trusting_period_nothing_is_believed():
    network = Network(at=13, now=CHAIN.make_trust(0).time_ms + PERIOD_MS).run(4)
    assert network.follower.view.height == 0
    assert set(network.reports) == {"light.expired"}


@pytest.mark.parametrize("field", ["app_hash", "validators_hash"])
def test_a_forged_seal_is_refused(field):
    network = Network(at=5).run()
    signed = CHAIN.sign(6)
    header = change(signed.seal.header, **{field: bytes(32)})
    forged = change(signed, seal=change(signed.seal, header=header))
    sent = network.wishes[0]
    view = BlockView(header=forged, changes=())
    step = network.follower.step(
        Returned(sent.call, Followed(snapshot=False, blocks=(view,)), last=True), network.moment
    )
    assert step.blocks == ()
    assert network.follower.view.height == 5
    assert next(wish for wish in step.wishes if isinstance(wish, Report)).code.startswith("light.")
