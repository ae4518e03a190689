"""Oracle: an `eth-account` wallet signs the same digest and recovers the same account."""

from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from probatum.protocol.eip712 import Domain, compute_signing_digest, typed_data
from probatum.protocol.hashing import keccak256
from probatum.protocol.secp256k1 import GROUP_ORDER, AccountSigner, recover_address

VALUES = {
    "address": st.binary(min_size=20, max_size=20),
    "bool": st.booleans(),
    "bytes": st.binary(max_size=70),
    "bytes[]": st.lists(st.binary(max_size=70), max_size=3).map(tuple),
    "bytes32": st.binary(min_size=32, max_size=32),
    "bytes32[]": st.lists(st.binary(min_size=32, max_size=32), max_size=3).map(tuple),
    "string": st.text(max_size=40),
    "string[]": st.lists(st.text(max_size=10), max_size=3).map(tuple),
    "uint64": st.integers(0, 2**64 - 1),
    "uint256": st.integers(0, 2**256 - 1),
}
NAMES = st.lists(
    st.from_regex(r"[a-z][a-zA-Z0-9]{0,8}", fullmatch=True), min_size=1, max_size=6, unique=True
)
SECRETS = st.integers(1, GROUP_ORDER - 1).map(lambda number: number.to_bytes(32, "big"))


@st.composite
def messages(draw):
    fields = []
    for name in draw(NAMES):
        eip_type = draw(st.sampled_from(sorted(VALUES)))
        fields.append((name, eip_type, draw(VALUES[eip_type])))
    return draw(st.from_regex(r"[A-Z][a-zA-Z]{0,9}", fullmatch=True)), tuple(fields)


@settings(max_examples=60, deadline=None)
@given(messages(), st.integers(0, 2**63), st.binary(min_size=32, max_size=32), SECRETS)
def test_wallet_and_ledger_agree(message, chain_id, genesis_hash, secret):
    domain = Domain(chain_id=chain_id, genesis_hash=genesis_hash)
    digest = compute_signing_digest(domain, *message)
    signable = encode_typed_data(full_message=typed_data(domain, *message))
    assert digest == keccak256(b"\x19" + signable.version + signable.header + signable.body)

    ours = AccountSigner(secret)
    wallet = Account.from_key(secret)
    assert wallet.address.lower() == "0x" + ours.address.hex()
    theirs = wallet.sign_message(signable)
    assert recover_address(digest, bytes(theirs.signature)) == ours.address
    signature = ours.sign_digest(digest)
    assert bytes(theirs.signature) == signature
    assert Account.recover_message(signable, signature=signature) == wallet.address
