"""What a node does when it is challenged, also for what its disk lost (`LOG-1`)."""

import pytest

from probatum.evidence.accusing import hold_receipt
from probatum.ledger.params import Params
from probatum.nodes.inference.journal_records import ReturnedEntry, decode_journal_record
from probatum.protocol import limits
from probatum.protocol.dsse import Envelope
from probatum.protocol.encoding import decode, decode_document, encode
from probatum.protocol.messages import Submit
from probatum.protocol.primitives import UNITS_PER_TOKEN
from probatum.protocol.records import (
    ChallengeRecord,
    LossRecord,
    OffenceRecord,
    ReturnRecord,
    StakeRecord,
    get_challenge_key,
    get_loss_key,
    get_offence_key,
    get_return_key,
    get_stake_key,
)
from probatum.protocol.transactions.kinds import ChallengeReceipt, ConvictOmission
from probatum.protocol.transactions.signed import sign_transaction
from tests.unit.nodes.giver import Handing
from tests.unit.nodes.network import LEDGER, Network, account, endpoint

A = endpoint("a")
OPERATOR = account("a").address
PARAMS = Params(include_window_blocks=4, challenge_window_blocks=30)
NEVER = 1_000_000


def start(**more):
    network = Network(("a",), params=PARAMS)
    network.register("gateway", "gateway")
    network.start_ready_node("a", **more)
    return network


def answer(network, request="1"):
    height = network.world.parties[A].machine._follower.view.height
    name = network.world.ask(A, Handing(request=request, height=height).make())
    said = network.world.wait(name, 2)
    envelope = decode_document(Envelope, said.receipt, limit_bytes=limits.ENVELOPE_BYTES)
    return hold_receipt(envelope)


def promise(network, *requests):
    """Let the node answer, and settle none of it: with `NEVER` it settles a session once."""
    answer(network, f"before {requests[0]}")
    network.world.run(500)
    return [answer(network, request) for request in requests]


def read(network, key, kind):
    value = network.get_state(key)
    return None if value is None else decode(kind, value, limit_bytes=limits.STATE_VALUE_BYTES)


def challenge(network, held, code="ok"):
    body = ChallengeReceipt(operator=held.operator, receipt=held.payload, signature=held.signature)
    return network.submit("publisher", body, code=code)


def is_challenged(network, held):
    key = get_challenge_key(OPERATOR, held.place.session, held.place.index)
    return read(network, key, ChallengeRecord) is not None


def get_stake(network):
    return read(network, get_stake_key(OPERATOR), StakeRecord).bonded


def get_loss(network):
    return read(network, get_loss_key(OPERATOR), LossRecord)


def get_return(network, held):
    key = get_return_key(OPERATOR, held.place.session, held.place.index)
    return read(network, key, ReturnRecord)


def restart(network, *, kept=0, **more):
    """The process and all but the first records of its journal are gone; it starts anew."""
    network.world.kill(A)
    del network.journals["a"][kept:]
    party = network.start_node("a", **more)
    network.world.run_until(lambda: party.machine.is_ready)
    return party


def test_a_challenge_makes_a_node_settle_at_once_and_close_it():
    network = start(settle_every_blocks=NEVER)
    (held,) = promise(network, "1")
    network.world.run(1_000)
    challenge(network, held)
    network.world.run(1_500)
    assert not is_challenged(network, held)
    assert get_stake(network) == 10 * UNITS_PER_TOKEN - PARAMS.late_fee_units


@pytest.mark.parametrize("settled", [True, False])
def test_what_a_lost_disk_promised_is_made_good(settled):
    """Tails of one session, or of two, are found in the session after them."""
    network = start(settle_every_blocks=NEVER)
    (first,) = promise(network, "1")
    network.world.kill(A)
    if not settled:
        # It never comes to settle this one: the next life has lost it.
        network.journals["a"].clear()
    party = network.start_node("a", settle_every_blocks=NEVER)
    network.world.run_until(lambda: party.machine.is_ready)
    second, third = promise(network, "2", "3")
    assert second.place.session == 1
    party = restart(network)
    assert party.machine._duties.log.session == 2
    answer(network, "4")
    network.world.run(2_000)
    for held in (second, third):
        challenge(network, held)
    challenge(network, first, "ledger.covered" if settled else "ok")
    network.world.run(2_500)
    for held in (first, second, third):
        assert not is_challenged(network, held)
        found = get_return(network, held)
        assert (found is None) == (settled and held is first)
        assert found is None or (found.entry, found.in_session) == (held.entry, 2)
    assert get_loss(network).session == 1
    late = PARAMS.late_fee_units * (2 if settled else 3)
    slashed = 0 if settled else PARAMS.slash_loss_units
    assert get_stake(network) == 10 * UNITS_PER_TOKEN - late - slashed
    answer(network, "5")
    network.world.run(1_000)
    assert party.machine._duties.is_settled()
    assert party.halted is None


def test_what_was_handed_back_survives_the_next_crash():
    network = start(settle_every_blocks=NEVER)
    (held,) = promise(network, "1")
    restart(network)
    network.world.run(1_000)
    challenge(network, held)
    taken = lambda: any(  # noqa: E731 - a condition to wait for
        isinstance(decode_journal_record(data), ReturnedEntry) for data in network.journals["a"]
    )
    network.world.run_until(taken)
    party = restart(network, kept=NEVER)
    network.world.run(2_000)
    found = get_return(network, held)
    assert (found.in_session, found.in_index) == (1, 0)
    assert get_loss(network).losses == 1
    assert party.machine._duties.is_settled()


def test_a_tail_that_is_missed_only_when_it_is_challenged_is_declared_then():
    network = start(settle_every_blocks=NEVER)
    (held,) = promise(network, "1")
    network.world.run(500)
    # The session is in the journal; only what nobody had settled is gone.
    restart(network, kept=3)
    network.world.run(1_000)
    assert get_loss(network) is None
    challenge(network, held)
    network.world.run(2_000)
    assert get_loss(network).session == 0
    assert get_return(network, held).in_session == 1


def test_a_node_that_starts_anew_without_a_loss_declares_none():
    network = start()
    answer(network)
    network.world.run(500)
    restart(network, kept=NEVER)
    network.world.run(1_000)
    assert get_loss(network) is None


def test_a_second_loss_within_an_epoch_is_not_said_before_it_is_missed():
    network = start(settle_every_blocks=NEVER)
    restart(network, settle_every_blocks=NEVER)
    network.world.run(1_000)
    (held,) = promise(network, "1")
    restart(network)
    network.world.run(1_000)
    assert get_loss(network).session == 0
    challenge(network, held)
    network.world.run(2_000)
    assert get_loss(network).session == 1
    assert get_return(network, held).in_session == 2
    offence = read(network, get_offence_key(OPERATOR, 1, "loss", 0), OffenceRecord)
    assert offence.slashed_units == PARAMS.slash_loss_units


def test_a_node_that_stays_away_is_convicted():
    network = start(settle_every_blocks=NEVER)
    (held,) = promise(network, "1")
    network.world.kill(A)
    network.world.run(1_000)
    challenge(network, held)
    network.world.run(4_000)
    place = {"session": held.place.session, "index": held.place.index}
    network.submit("publisher", ConvictOmission(operator=OPERATOR, **place))
    assert read(network, get_offence_key(OPERATOR, 0, "omission", 1), OffenceRecord) is not None


def test_answers_to_challenges_are_not_spoiled_by_settling_what_comes_in_between():
    """A proof is for what is settled when it is in a block; each refusal costs a fee."""
    network = start(settle_every_blocks=NEVER)
    held = promise(network, *map(str, range(9)))
    network.world.run(1_000)
    for number, one in enumerate(held):
        body = ChallengeReceipt(operator=OPERATOR, receipt=one.payload, signature=one.signature)
        nonce = network.nonces["publisher"] + number
        signed = sign_transaction(
            network.domain, account("publisher"), nonce=nonce, fee_units=1_000, body=body
        )
        network.world.ask(LEDGER, Submit(transaction=encode(signed)))
    network.world.run(200)
    assert sum(is_challenged(network, one) for one in held) == len(held)
    for more in range(40):
        answer(network, f"more {more}")
        network.world.run(60)
    assert not any(is_challenged(network, one) for one in held)
    codes = [report.code for report in network.world.parties[A].reports]
    assert "node.transaction-refused" not in codes
