import pytest

from probatum.errors import Misuse, Refusal
from probatum.protocol.eip712 import Domain, compute_signing_digest, typed_data
from probatum.protocol.hashing import sha256

DOMAIN = Domain(chain_id=7, genesis_hash=sha256(b"genesis"))


def test_the_digest_depends_on_every_part():
    fields = (("to", "address", b"\1" * 20), ("amount", "uint64", 5))
    other = Domain(chain_id=8, genesis_hash=DOMAIN.genesis_hash)
    digests = {
        compute_signing_digest(DOMAIN, "Transfer", fields),
        compute_signing_digest(other, "Transfer", fields),
        compute_signing_digest(Domain(chain_id=7, genesis_hash=sha256(b"x")), "Transfer", fields),
        compute_signing_digest(DOMAIN, "Transfers", fields),
        compute_signing_digest(DOMAIN, "Transfer", fields[::-1]),
        compute_signing_digest(DOMAIN, "Transfer", (fields[0], ("amount", "uint64", 6))),
        compute_signing_digest(DOMAIN, "Transfer", (fields[0], ("amounts", "uint64", 5))),
        compute_signing_digest(DOMAIN, "Transfer", (fields[0], ("amount", "uint256", 5))),
    }
    assert len(digests) == 8


@pytest.mark.parametrize(
    ("eip_type", "value"),
    [
        ("uint64", -1),
        ("uint64", 2**64),
        ("uint64", True),
        ("uint256", 2**256),
        ("address", b"\0" * 19),
        ("address", "0x" + "00" * 20),
        ("bytes32", b"\0" * 33),
        ("bool", 1),
        ("string", b"text"),
        ("string", "\ud800"),
        ("bytes", "text"),
        ("string[]", ["a"]),
        ("bytes32[]", (b"short",)),
    ],
)
def test_values_of_another_type_are_refused(eip_type, value):
    with pytest.raises(Refusal) as caught:
        compute_signing_digest(DOMAIN, "Thing", (("field", eip_type, value),))
    assert caught.value.code == "eip712.bad-value"


def test_unknown_types_are_a_misuse():
    with pytest.raises(Misuse) as caught:
        compute_signing_digest(DOMAIN, "Thing", (("field", "uint8", 1),))
    assert caught.value.code == "eip712.unknown-type"


def test_typed_data_is_what_wallets_take():
    shown = typed_data(DOMAIN, "Transfer", (("to", "address", b"\1" * 20), ("n", "uint64", 5)))
    assert shown["message"] == {"to": "0x" + "01" * 20, "n": 5}
    assert shown["domain"]["salt"] == "0x" + DOMAIN.genesis_hash.hex()
    assert shown["primaryType"] == "Transfer"
