import pytest
from msgspec.structs import replace as change

from probatum.client.sync import LedgerFollower
from probatum.machine.events import Arrived, Durable, Fired, Moment, Returned, Unreachable
from probatum.machine.wishes import Report, Send, SetTimer
from probatum.protocol import records
from probatum.protocol.blocks import BlockView, Change
from probatum.protocol.encoding import encode
from probatum.protocol.headers import compute_header_hash
from probatum.protocol.messages import (
    Follow,
    Followed,
    GetHeader,
    GetStatus,
    GotHeader,
    Refused,
)
from tests.factories import (
    NODES,
    make_chain,
    make_header,
    make_node_record,
    make_trust,
    sign_header,
)

LEDGER_AT = "http://127.0.0.1:1"
MOMENT = Moment(0, bytes(32))
CHAIN = make_chain(12)
FORK = make_chain(12, fork=b"another past")
NODE = Change(key=records.get_node_key(NODES[0].account), value=encode(make_node_record(NODES[0])))
NO_HEIGHT = Refused(code="full.no-height", message="not there")


def views(headers, *changes):
    return tuple(BlockView(header=header, changes=changes) for header in headers)


def followed(headers, *, snapshot=False, changes=()):
    return Followed(snapshot=snapshot, blocks=views(headers, *changes))


class Conversation:
    """The follower and what it asked last."""

    def __init__(self, **arguments):
        self.follower = LedgerFollower(LEDGER_AT, (b"node/",), make_trust(), **arguments)
        self.wishes = self.follower.start(MOMENT)
        self.steps = []

    @property
    def asked(self):
        (send,) = [wish for wish in self.wishes if isinstance(wish, Send)]
        return send

    def reply(self, message):
        event = Returned(self.asked.call, message, last=True)
        return self.give(event)

    def give(self, event):
        assert self.follower.owns(event)
        step = self.follower.step(event, MOMENT)
        self.wishes = step.wishes
        self.steps.append(step)
        return step

    def report(self):
        (report,) = [wish for wish in self.wishes if isinstance(wish, Report)]
        return report.code

    def timer(self):
        (timer,) = [wish for wish in self.wishes if isinstance(wish, SetTimer)]
        return timer


def follow_to(height):
    talk = Conversation()
    talk.reply(followed(CHAIN[:1], snapshot=True))
    if height > 1:
        talk.reply(followed(CHAIN[1:height]))
    return talk


def test_a_snapshot_then_blocks_in_order():
    talk = Conversation()
    assert talk.asked.to == LEDGER_AT
    assert talk.asked.message.after == 0
    assert talk.asked.call.startswith("follow:")
    step = talk.reply(followed(CHAIN[4:7], snapshot=True, changes=(NODE,)))
    assert step.snapshot
    assert [block.header.header.height for block in step.blocks] == [5, 6, 7]
    assert talk.follower.view.get_node(NODES[0].account) is not None
    assert talk.asked.message == Follow(after=7, prefixes=(b"node/",), wait_ms=3_000)
    step = talk.reply(followed(CHAIN[7:9]))
    assert not step.snapshot
    assert talk.follower.view.height == 9
    assert talk.follower.view.header == CHAIN[8]


def test_a_chain_can_be_followed_from_genesis():
    talk = Conversation()
    assert len(talk.reply(followed(CHAIN[:3])).blocks) == 3
    talk = Conversation()
    other = make_header(1, previous=b"\1" * 32)
    assert talk.reply(followed([other])).blocks == ()
    assert talk.report() == "follow.not-child"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([CHAIN[5]], "follow.gap"),
        ([CHAIN[2]], "follow.gap"),
        ([sign_header(CHAIN[3].header, NODES[0].signer)], "trust.other-key"),
        (
            [change(CHAIN[3], seal=change(CHAIN[3].seal, signature=bytes(64)))],
            "ed25519.bad-signature",
        ),
        ([make_header(4, chain_id=5)], "trust.other-chain"),
    ],
)
def test_what_is_not_the_next_block_is_refused_and_asked_for_again(headers, code):
    talk = follow_to(3)
    step = talk.reply(followed(headers))
    assert step.blocks == ()
    assert talk.report() == code
    assert talk.follower.view.height == 3
    talk.give(Fired(talk.timer().timer))
    assert talk.asked.message == GetHeader(height=3)
    talk.reply(GotHeader(header=CHAIN[2]))
    assert talk.asked.message.after == 3


def test_time_must_increase():
    talk = follow_to(3)
    late = make_header(4, compute_header_hash(CHAIN[2].header), time_ms=3_000)
    talk.reply(followed([late]))
    assert talk.report() == "follow.time-back"


def test_blocks_before_a_bad_one_are_kept_and_told():
    talk = follow_to(3)
    step = talk.reply(followed([CHAIN[3], CHAIN[4], CHAIN[9]]))
    assert [block.header for block in step.blocks] == CHAIN[3:5]
    assert talk.report() == "follow.gap"
    assert talk.follower.view.height == 5


def test_a_bad_record_is_refused_with_its_block():
    talk = follow_to(3)
    bad = Change(key=b"node/" + bytes(20), value=b"\xc1")
    step = talk.reply(followed([CHAIN[3]], changes=(bad,)))
    assert step.blocks == ()
    assert talk.follower.view.height == 3


def test_another_past_under_a_new_block_stops_the_follower():
    """`LOG-1`: a node whose ledger goes backwards stops."""
    talk = follow_to(5)
    step = talk.reply(followed([FORK[5]]))
    assert step.went_back
    assert talk.follower.stopped
    assert talk.report() == "follow.went-back"
    assert talk.give(Fired("follow:retry")).wishes == ()


@pytest.mark.parametrize("headers", [[CHAIN[2]], [FORK[4]]])
def test_a_snapshot_from_before_or_beside_what_was_seen_stops_the_follower(headers):
    assert follow_to(5).reply(followed(headers, snapshot=True)).went_back


def test_a_later_snapshot_is_taken():
    talk = follow_to(5)
    step = talk.reply(followed([CHAIN[9]], snapshot=True))
    assert step.snapshot
    assert talk.follower.view.height == 10


def test_silence_makes_it_ask_whether_the_ledger_went_back():
    talk = follow_to(5)
    assert talk.reply(followed([])).blocks == ()
    assert talk.asked.message == GetHeader(height=5)
    talk.reply(NO_HEIGHT)
    assert talk.asked.message == GetHeader(height=0)
    assert talk.reply(GotHeader(header=CHAIN[3])).went_back


def test_a_pruned_height_is_no_step_back():
    talk = follow_to(5)
    talk.reply(followed([]))
    talk.reply(NO_HEIGHT)
    assert not talk.reply(GotHeader(header=CHAIN[8])).went_back
    assert talk.asked.message.after == 5


def test_another_block_at_the_seen_height_stops_the_follower():
    talk = follow_to(5)
    talk.reply(followed([]))
    assert talk.reply(GotHeader(header=FORK[4])).went_back


def test_a_stranger_cannot_make_it_stop():
    talk = follow_to(5)
    talk.reply(followed([]))
    forged = sign_header(FORK[4].header, NODES[0].signer)
    assert not talk.reply(GotHeader(header=forged)).went_back
    assert talk.report() == "trust.other-key"


def test_what_was_seen_in_an_earlier_life_counts():
    talk = Conversation(seen=CHAIN[7])
    assert talk.asked.message == GetHeader(height=8)
    assert Conversation(seen=CHAIN[7]).reply(GotHeader(header=FORK[7])).went_back
    talk.reply(GotHeader(header=CHAIN[7]))
    assert talk.asked.message.after == 0
    assert talk.reply(followed([CHAIN[6]], snapshot=True)).went_back
    talk = Conversation(seen=CHAIN[7])
    talk.reply(GotHeader(header=CHAIN[7]))
    assert talk.reply(followed(FORK[:9])).went_back, "a replayed fork is seen at its height"


def test_an_unreachable_node_is_tried_again_ever_more_slowly():
    talk = follow_to(3)
    waits = []
    for _ in range(8):
        talk.give(Unreachable(talk.asked.call, "refused"))
        waits.append(talk.timer().after_ms)
        talk.give(Fired(talk.timer().timer))
    assert waits[0] < waits[2] < waits[-1] <= 5_000
    talk.reply(GotHeader(header=CHAIN[2]))
    talk.reply(followed(CHAIN[3:4]))
    talk.give(Unreachable(talk.asked.call, "refused"))
    assert talk.timer().after_ms == waits[0], "success forgets failures"


def test_late_and_strange_replies_change_nothing():
    talk = follow_to(3)
    open_call = talk.asked.call
    wishes = talk.wishes
    for event in (
        Returned("follow:0:blocks", followed(CHAIN[3:4]), last=True),
        Unreachable("follow:0:blocks", "late"),
        Fired("follow:retry"),
    ):
        assert talk.follower.step(event, MOMENT).wishes == ()
    talk.wishes = wishes
    assert talk.follower.view.height == 3
    talk.give(Returned(open_call, GetStatus(), last=True))
    assert talk.report() == "follow.wrong-reply"
    assert not talk.follower.owns(Arrived("c", GetStatus()))
    assert not talk.follower.owns(Durable("follow:1"))
    assert not talk.follower.owns(Fired("send:retry"))
