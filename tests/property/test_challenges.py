"""The node itself, whatever happens to it: challenged, killed, its disk lost once (`LOG-1`).

Not a model of an honest node but the real machine over a real ledger, in virtual time.
"""

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from probatum.ledger.params import Params
from probatum.protocol.encoding import encode
from probatum.protocol.messages import Submit
from probatum.protocol.records import CHALLENGE, OFFENCE, RETURNED
from probatum.protocol.transactions.kinds import ChallengeReceipt
from probatum.protocol.transactions.signed import sign_transaction
from tests.unit.nodes.inference.test_challenges import NEVER, A, answer, get_loss
from tests.unit.nodes.network import LEDGER, Network, account

PARAMS = Params(include_window_blocks=4, challenge_window_blocks=25, unbonding_blocks=10_000)
ENDED = {"ledger.challenged-already", "ledger.covered", "ledger.returned", "ledger.not-overdue"}

steps = st.lists(
    st.one_of(
        st.tuples(st.just("answer"), st.integers(1, 3)),
        st.tuples(st.just("wait"), st.integers(1, 8)),
        st.tuples(st.just("challenge"), st.integers(0, 8)),
        st.tuples(st.just("crash"), st.booleans()),
        st.tuples(st.just("lose disk"), st.booleans()),
    ),
    min_size=3,
    max_size=10,
)


class Life:
    """One node's life; everybody keeps their receipts."""

    def __init__(self):
        self.network = Network(("a",), params=PARAMS)
        self.network.register("gateway", "gateway")
        self.network.start_ready_node("a", settle_every_blocks=NEVER)
        self.held = []
        self.losses = 0
        self.challenged = 0

    def answer(self, count):
        for _ in range(count):
            self.held.append(answer(self.network, str(len(self.held))))

    def challenge(self, held):
        body = ChallengeReceipt(
            operator=held.operator, receipt=held.payload, signature=held.signature
        )
        nonce = self.network.nonces["publisher"]
        self.network.nonces["publisher"] = nonce + 1
        signed = sign_transaction(
            self.network.domain, account("publisher"), nonce=nonce, fee_units=1_000, body=body
        )
        world = self.network.world
        outcome = world.wait(world.ask(LEDGER, Submit(transaction=encode(signed))))
        assert outcome.code in {"ok", *ENDED}
        self.challenged += outcome.code == "ok"

    def start(self, *, settles):
        pause = 2 if settles else NEVER
        party = self.network.start_node("a", settle_every_blocks=pause)
        self.network.world.run_until(lambda: party.machine.is_ready)

    def play(self, step, number):
        match step:
            case "answer":
                self.answer(number)
            case "wait":
                self.network.world.run(100 * number)
            case "challenge" if self.held:
                self.challenge(self.held[number % len(self.held)])
            case "crash" | "lose disk":
                self.network.world.kill(A)
                if step == "lose disk" and not self.losses:
                    self.losses = 1
                    self.network.journals["a"].clear()
                self.start(settles=number)

    def list_records(self, prefix):
        found = self.network.store.scan("record", prefix, b"", 1_000)
        return [key for key, _ in found if key.startswith(prefix)]


HARD = [
    ("answer", 2),
    ("wait", 3),
    ("answer", 3),
    ("lose disk", False),
    ("answer", 1),
    ("wait", 6),
    ("answer", 2),
    ("challenge", 4),
    ("crash", False),
    ("wait", 1),
    ("answer", 1),
    ("challenge", 3),
]


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
@example(history=HARD)
@given(history=steps)
def test_the_node_is_convicted_of_nothing(history):
    live(history)


def live(history):
    life = Life()
    for step, number in history:
        life.play(step, number)
    # In the end everybody demands everything; a node that runs answers within its window.
    life.network.world.run(1_000)
    for held in life.held:
        life.challenge(held)
    life.network.world.run(100 * (PARAMS.challenge_window_blocks + 3 * len(life.held)))
    assert life.list_records(OFFENCE) == []
    assert life.list_records(CHALLENGE) == []
    loss = get_loss(life.network)
    assert (0 if loss is None else loss.losses) <= life.losses
    assert life.network.world.parties[A].halted is None
    return life


def test_histories_are_hard_enough():
    life = live(HARD)
    assert life.challenged >= 3
    assert len(life.list_records(RETURNED)) == 3
