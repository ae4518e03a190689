"""An honest gateway is convicted by nobody for two charges, whatever befalls its disk (`PAY-1`)."""

from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

from probatum.protocol.custody import HandOver, encode_handover
from probatum.protocol.hashing import sha256
from probatum.protocol.records import OFFENCE
from tests.chain import FEE
from tests.unit.ledger.handlers import test_charges as charges
from tests.unit.ledger.handlers.test_charges import REPORTER, start_gateway, two_releases


@dataclass
class Life:
    """A running gateway: what it drew at its start, and its disk."""

    opener: str | None
    requests: dict = field(default_factory=dict)
    """First record, and whose life accepted, by request."""
    released: dict = field(default_factory=dict)


class Operator:
    """A gateway by the book, through crashes, lost disks, old backups and second copies.

    Heights stand still all the while, and who asks chooses all that is chosen for a request: so
    nothing but the life's own chance tells two first records of one request apart.
    """

    def __init__(self, *, draws=True):
        self.draws = draws
        self.lives = []
        self.backup = Life(opener=None)
        self.signed = []
        self.start(Life(opener=None))

    def start(self, disk):
        opener = sha256(b"life %d" % len(self.lives)).hex() if self.draws else None
        self.lives.append(
            Life(opener=opener, requests=dict(disk.requests), released=dict(disk.released))
        )

    def accept(self, life, number):
        if number in life.requests:
            return
        facts = charges.FACTS
        record = HandOver(
            request_id=facts.request_id,
            request_digest=sha256(b"%d" % number).hex(),
            branch=0,
            giver=charges.GATEWAY,
            taker=charges.msgspec.structs.replace(charges.NODE, key="2" * 64),
            accepts=True,
            promise="answer",
            given_at=1,
            answer_by=5,
            price_units=3,
            opener=life.opener,
        )
        life.requests[number] = (encode_handover(record), life.opener)

    def release(self, chain, life, number):
        """Say the last word once; what an earlier life accepted costs nothing."""
        if number not in life.requests or number in life.released:
            return
        first_record, whose = life.requests[number]
        units = 5 if whose == life.opener else 0
        word = charges.release(
            chain, units=units, total=units * (len(self.signed) + 1), first_record=first_record
        )
        life.released[number] = word
        self.signed.append(word)

    def act(self, chain, step, which, number):
        life = self.lives[which % len(self.lives)]
        match step:
            case "accept":
                self.accept(life, number)
            case "release":
                self.release(chain, life, number)
            case "crash" | "copy":
                self.start(life)
            case "lose disk":
                self.start(Life(opener=None))
            case "back up":
                self.backup = Life(None, dict(life.requests), dict(life.released))
            case "restore":
                self.start(self.backup)


steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["accept", "accept", "release", "release", "copy", "lose disk", "back up", "restore"]
        ),
        st.integers(0, 3),
        st.integers(0, 2),
    ),
    max_size=20,
)
LOST = [("accept", 0, 0), ("release", 0, 0), ("lose disk", 0, 0)]
LOST += [("accept", 1, 0), ("release", 1, 0)]
RESTORED = [("accept", 0, 0), ("back up", 0, 0), ("release", 0, 0), ("restore", 0, 0)]
RESTORED += [("release", 1, 0), ("accept", 1, 1), ("release", 1, 1)]


def report_all(history, *, draws=True):
    chain = start_gateway()
    operator = Operator(draws=draws)
    for step in history:
        operator.act(chain, *step)
    for first in operator.signed:
        for second in operator.signed:
            yield chain, chain.do(REPORTER, two_releases(first, second), fee=FEE)


@settings(max_examples=60, deadline=None)
@example(history=LOST)
@example(history=RESTORED)
@given(history=steps)
def test_an_honest_gateway_cannot_be_convicted(history):
    for chain, code in report_all(history):
        assert code == "ledger.no-conflict"
        assert not [place for place in chain.records() if place.startswith(OFFENCE)]


def test_without_the_chance_of_a_life_a_lost_disk_would_convict():
    assert "ok" in {code for _, code in report_all(LOST, draws=False)}
