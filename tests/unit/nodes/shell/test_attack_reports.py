"""A header that somebody was shown, held against the engine's own chain (`LIGHT-1`)."""

import asyncio

import pytest
from msgspec.structs import replace as change

from probatum.errors import Fault, Refusal
from probatum.nodes.shell.attack_reports import report_attack
from probatum.protocol.eip712 import Domain
from probatum.protocol.messages import ReportAttack
from tests.factories import CHAIN_ID, GENESIS_HASH
from tests.light_chain import LightChain, list_values, make_voters

SETS = {0: make_voters(range(4)), 5: make_voters(range(2, 6)), 9: make_voters(range(4, 8))}
CHAIN = LightChain(SETS, length=14)
FALSE = LightChain(SETS, length=14, branch=b"another past")
OLD = LightChain({0: make_voters(range(4))}, length=14, branch=b"of who has left")
STRANGERS = LightChain({0: make_voters(range(20, 24))}, length=14)
DOMAIN = Domain(chain_id=CHAIN_ID, genesis_hash=GENESIS_HASH)


class Engine:
    """An engine that has the chain, from some height on."""

    def __init__(self, first=1):
        self.first, self.taken = first, []

    async def get_seal(self, height, timeout_s):
        if height + 1 < self.first:
            raise Fault("engine.refused", "not kept")
        return CHAIN.make_seal(height + 1)

    async def submit_attack(self, attack, timeout_s):
        self.taken.append(attack)


def report(header, common=1, *, engine=None, domain=DOMAIN):
    engine = engine or Engine()
    message = ReportAttack(header=header, common=common)
    asyncio.run(report_attack(engine, domain, 12, message, 1.0))
    (attack,) = engine.taken
    return attack


def test_the_height_before_answers_for_it():
    attack = report(FALSE.sign(8))
    assert (attack.common_height, attack.seal.header.height) == (8, 9)
    # Of the set of then, those who signed: two of them had come into the false one's.
    assert set(attack.convicted) == set(list_values(make_voters([4, 5])))


@pytest.mark.parametrize(("common", "height"), [(3, 3), (4, 4)])
def test_who_has_left_since_answers_at_the_height_that_was_believed(common, height):
    attack = report(OLD.sign(10), common)
    assert attack.common_height == height
    assert set(attack.convicted) == set(list_values(make_voters(range(4))))


@pytest.mark.parametrize(
    ("header", "common", "code"),
    [
        (CHAIN.sign(8), 1, "light.own-header"),
        (FALSE.sign(12), 1, "light.not-yet"),
        (OLD.sign(10), 9, "light.too-little-trust"),
        (STRANGERS.sign(8), 1, "light.too-little-trust"),
        (change(FALSE.sign(8), header=CHAIN.headers[8]), 1, "light.other-app-hash"),
        (FALSE.sign(8, [2, 2, 1, 1]), 1, "light.too-little-power"),
    ],
)
def test_what_convicts_nobody_is_refused(header, common, code):
    engine = Engine()
    with pytest.raises(Refusal) as refused:
        report(header, common, engine=engine)
    assert refused.value.code == code
    assert engine.taken == []


def test_another_chains_header_is_none_of_this_chains():
    with pytest.raises(Refusal) as refused:
        report(FALSE.sign(8), domain=Domain(chain_id=CHAIN_ID + 1, genesis_hash=GENESIS_HASH))
    assert refused.value.code == "light.other-chain"


def test_a_height_that_the_engine_forgot_is_passed_over():
    assert report(FALSE.sign(8), 1, engine=Engine(first=8)).common_height == 8
    with pytest.raises(Refusal) as refused:
        report(OLD.sign(10), 2, engine=Engine(first=8))
    assert refused.value.code == "light.forgotten"
