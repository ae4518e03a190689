"""Questions with proofs: of what is there and of what is not."""

import pytest

from probatum.errors import Refusal
from probatum.ledger.queries import decode_record
from probatum.protocol.encoding import decode_document
from probatum.protocol.mapproof import StateProof, check_state_proof
from probatum.protocol.records import ACCOUNT, Account, get_account_key
from probatum.protocol.transactions.kinds import Transfer
from tests.chain import Chain, account


def check(root, item):
    proof = decode_document(StateProof, item.proof, limit_bytes=1 << 20)
    return check_state_proof(root, item.key, proof)


def test_proofs_of_presence_and_absence_hold_against_the_header():
    chain = Chain()
    chain.do(account(0), Transfer(to=account(8).address, amount=5))
    keys = tuple(get_account_key(account(n).address) for n in (0, 8, 9))
    items = chain.engine.get_items(keys, prove=True)
    root = chain.engine.last_header.header.state_root
    for item in items:
        assert check(root, item) == item.value == chain.store.get("record", item.key)
    assert [item.value is None for item in items] == [False, False, True]
    old = chain.decided[0].header.header.state_root
    assert old == root
    chain.do(account(0), Transfer(to=account(9).address, amount=5))
    with pytest.raises(Refusal, match="another-root"):
        check(root, chain.engine.get_items(keys[:1], prove=True)[0])


def test_listing_goes_page_by_page():
    chain = Chain()
    seen, after, more = [], b"", True
    while more:
        items, more = chain.engine.list_items(ACCOUNT, after, 3)
        seen += [item.key for item in items]
        after = items[-1].key
    assert seen == sorted(get_account_key(account(n).address) for n in range(4))


def test_records_are_decoded_by_their_key():
    chain = Chain()
    place = get_account_key(account(0).address)
    assert isinstance(decode_record(place, chain.records()[place]), Account)
    with pytest.raises(Refusal) as caught:
        decode_record(b"nothing/", b"")
    assert caught.value.code == "ledger.unknown-record"
