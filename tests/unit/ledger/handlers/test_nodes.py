"""Registering nodes, offers and heartbeats: who may act as a node, and once."""

import msgspec

from probatum.protocol.hashing import sha256
from probatum.protocol.primitives import UNITS_PER_TOKEN
from probatum.protocol.records import (
    KeyRecord,
    NodeRecord,
    OfferRecord,
    get_key_key,
    get_node_key,
    get_offer_key,
)
from probatum.protocol.transactions.kinds import Stake, Unstake
from tests.chain import PACKAGE, Chain, account, key


def node(chain, number=0):
    return chain.record(get_node_key(account(number).address), NodeRecord)


def key_record(chain, number):
    return chain.record(get_key_key(key(number).key), KeyRecord)


def test_registering_writes_node_and_key():
    chain = Chain()
    assert chain.register() == "ok"
    found = node(chain)
    assert (found.operating_key, found.roles, found.registered_at, found.heartbeat_at) == (
        key(0).key,
        ("inference",),
        2,
        2,
    )
    assert key_record(chain, 0) == KeyRecord(
        account=account(0).address, registered_at=2, retired_at=None
    )


def test_another_key_retires_the_old_one_for_ever():
    chain = Chain()
    chain.register()
    chain.do(account(0), chain.heartbeat())
    assert chain.do(account(0), chain.registration(operating=key(5))) == "ok"
    assert key_record(chain, 0).retired_at == 4
    assert key_record(chain, 5).retired_at is None
    assert (node(chain).operating_key, node(chain).sequence) == (key(5).key, 1)
    assert chain.do(account(0), chain.registration()) == "ledger.key-retired"
    # The old key signs no more for the node.
    assert chain.do(account(0), chain.heartbeat(sequence=1)) == "ed25519.bad-signature"
    assert chain.do(account(0), chain.heartbeat(sequence=1, signer=key(5))) == "ok"


def test_the_same_key_may_change_endpoint_and_roles():
    chain = Chain()
    chain.register()
    assert chain.do(account(0), chain.registration(roles=("gateway", "inference"))) == "ok"
    assert node(chain).roles == ("gateway", "inference")
    assert key_record(chain, 0).registered_at == 2


def test_a_key_never_serves_two_accounts():
    chain = Chain()
    chain.register(0)
    chain.do(account(1), Stake(amount=UNITS_PER_TOKEN))
    body = chain.registration(1, operating=key(0))
    assert chain.do(account(1), body) == "ledger.key-taken"
    assert node(chain, 1) is None


def test_nobody_registers_a_key_they_do_not_hold():
    chain = Chain()
    chain.do(account(0), Stake(amount=UNITS_PER_TOKEN))
    forged = chain.registration(0, sender=account(1).address)
    assert chain.do(account(0), forged) == "ed25519.bad-signature"


def test_roles_are_in_order_and_need_their_stake():
    chain = Chain()
    assert chain.register(stake=False) == "ledger.stake-too-low"
    chain.do(account(0), Stake(amount=UNITS_PER_TOKEN))
    for roles in (("inference", "gateway"), ("gateway", "gateway")):
        assert chain.register(stake=False, roles=roles) == "ledger.bad-roles"
    both = ("gateway", "inference")
    assert chain.register(stake=False, roles=both) == "ledger.stake-too-low"
    chain.do(account(0), Stake(amount=UNITS_PER_TOKEN))
    assert chain.register(stake=False, roles=both) == "ok"


def test_offers_are_made_replaced_and_taken_back():
    chain = Chain()
    chain.register()
    place = get_offer_key(account(0).address, PACKAGE, "float")
    # Whoever pays need not be the operator: here account 3 does.
    assert chain.do(account(3), chain.offer(sequence=0, price=5)) == "ok"
    assert chain.do(account(3), chain.offer(sequence=1, price=9)) == "ok"
    assert chain.record(place, OfferRecord).price_units == 9
    assert chain.do(account(3), chain.withdrawal(sequence=2)) == "ok"
    assert chain.record(place, OfferRecord) is None
    assert chain.do(account(3), chain.withdrawal(sequence=3)) == "ledger.no-such-offer"
    assert node(chain).sequence == 3, "a refused act uses no number"


def test_an_authority_acts_once_in_order_and_by_the_nodes_key():
    chain = Chain()
    chain.register()
    beat = chain.heartbeat(sequence=0)
    assert chain.do(account(0), beat) == "ok"
    assert chain.do(account(1), beat) == "ledger.wrong-sequence"
    assert chain.do(account(0), chain.heartbeat(sequence=2)) == "ledger.wrong-sequence"
    wrong = chain.heartbeat(sequence=1, signer=key(1))
    assert chain.do(account(0), wrong) == "ed25519.bad-signature"
    bent = msgspec.structs.replace(chain.offer(sequence=1, price=5), price_units=1)
    assert chain.do(account(0), bent) == "ed25519.bad-signature"


def test_acts_of_no_node_or_of_another_role():
    chain = Chain()
    for body in (chain.offer(), chain.withdrawal(), chain.heartbeat(), chain.opening()):
        assert chain.do(account(0), body) == "ledger.no-such-node"
    chain.register(roles=("gateway",))
    assert chain.do(account(0), chain.offer()) == "ledger.not-inference"


def test_a_heartbeat_notes_the_height():
    chain = Chain()
    chain.register()
    chain.block()
    assert chain.do(account(0), chain.heartbeat()) == "ok"
    assert (node(chain).heartbeat_at, node(chain).sequence) == (4, 1)


def test_without_stake_a_node_only_leaves():
    chain = Chain()
    chain.register()
    chain.do(account(0), chain.offer(sequence=0))
    assert chain.do(account(0), Unstake(amount=2 * UNITS_PER_TOKEN)) == "ok"
    other = chain.offer(sequence=1, package=sha256(b"other"))
    for body in (other, chain.heartbeat(sequence=1), chain.opening()):
        assert chain.do(account(0), body) == "ledger.stake-too-low"
    assert chain.do(account(0), chain.withdrawal(sequence=1)) == "ok"
