"""`SIGN-2`: a publisher's key is its holder's, serves one account, and leaves a history."""

import dataclasses

import msgspec

from probatum.protocol.hashing import sha256
from probatum.protocol.p256 import PublisherSigner, compute_publisher_key_id
from probatum.protocol.primitives import make_digest, make_publisher_key
from probatum.protocol.records import (
    PublisherKeyRecord,
    PublisherRecord,
    get_publisher_key,
    get_publisher_key_key,
)
from probatum.protocol.transactions.kinds import RegisterPublisherKey
from probatum.protocol.transactions.possession import sign_possession
from tests.chain import Chain, account

FIRST, SECOND = (PublisherSigner(sha256(b"publisher %d" % n)) for n in range(2))


def registration(chain, signer, number=0, *, domain=None):
    possession = sign_possession(domain or chain.domain, account(number).address, signer)
    return RegisterPublisherKey(key=signer.key, possession=possession)


def find(chain, signer):
    key = get_publisher_key_key(compute_publisher_key_id(signer.key))
    return chain.record(key, PublisherKeyRecord)


def test_a_new_key_retires_the_old_one_and_both_are_remembered():
    chain = Chain()
    assert chain.do(account(0), registration(chain, FIRST)) == "ok"
    who = account(0).address
    assert find(chain, FIRST) == PublisherKeyRecord(
        account=who, key=FIRST.key, registered_at=1, retired_at=None
    )
    assert chain.do(account(0), registration(chain, SECOND)) == "ok"
    assert (find(chain, FIRST).registered_at, find(chain, FIRST).retired_at) == (1, 2)
    assert (find(chain, SECOND).registered_at, find(chain, SECOND).retired_at) == (2, None)
    current = chain.record(get_publisher_key(who), PublisherRecord)
    assert current == PublisherRecord(account=who, key_id=compute_publisher_key_id(SECOND.key))


def test_a_key_serves_one_account_once():
    chain = Chain()
    chain.do(account(0), registration(chain, FIRST))
    taken = "ledger.publisher-key-taken"
    assert chain.do(account(0), registration(chain, FIRST)) == taken
    assert chain.do(account(1), registration(chain, FIRST, 1)) == taken
    chain.do(account(0), registration(chain, SECOND))
    assert chain.do(account(0), registration(chain, FIRST)) == taken


def test_nobody_registers_a_key_that_they_do_not_hold():
    chain = Chain()
    holders = registration(chain, FIRST)
    assert chain.do(account(1), holders) == "p256.bad-signature"
    other = dataclasses.replace(chain.domain, genesis_hash=make_digest(bytes(32)))
    elsewhere = registration(chain, FIRST, domain=other)
    assert chain.do(account(0), elsewhere) == "p256.bad-signature"
    swapped = msgspec.structs.replace(registration(chain, SECOND), key=FIRST.key)
    assert chain.do(account(0), swapped) == "p256.bad-signature"
    assert find(chain, FIRST) is None
    assert chain.do(account(0), holders) == "ok"


def test_what_is_no_key_is_not_registered():
    chain = Chain()
    body = msgspec.structs.replace(
        registration(chain, FIRST), key=make_publisher_key(b"\x04" + bytes(64))
    )
    assert chain.do(account(0), body) == "p256.bad-key"
    assert chain.record(get_publisher_key(account(0).address), PublisherRecord) is None
