"""`SIGN-2`: whose signature counts is what the ledger says of key and model."""

import msgspec
import pytest

from probatum.errors import Refusal
from probatum.hub.provenance import check_publisher
from probatum.hub.signing import open_signature, sign_package
from probatum.protocol.hashing import sha256
from probatum.protocol.p256 import PublisherSigner
from probatum.protocol.primitives import make_address
from probatum.protocol.records import ModelRecord, PublisherKeyRecord

SIGNER = PublisherSigner(sha256(b"publisher"))
OTHER = PublisherSigner(sha256(b"other"))
WHO, ANOTHER = make_address(b"a" * 20), make_address(b"b" * 20)
KEY = PublisherKeyRecord(account=WHO, key=SIGNER.key, registered_at=5, retired_at=None)
replace = msgspec.structs.replace


@pytest.fixture
def signature(package):
    data = sign_package(package.manifest, package.digest, SIGNER)
    return open_signature(data, package.manifest, package.digest)


@pytest.fixture
def model(package):
    return ModelRecord(
        name="tiny",
        version="1.0",
        publisher=WHO,
        package=package.digest,
        size_bytes=1,
        published_at=9,
    )


def code_of(*args):
    with pytest.raises(Refusal) as caught:
        check_publisher(*args)
    return caught.value.code


def test_the_publishers_own_key_vouches(signature, model):
    check_publisher(signature, KEY, model)
    check_publisher(signature, KEY, None)


def test_anybody_elses_does_not(signature, model):
    assert code_of(signature, None, model) == "provenance.unknown-key"
    assert code_of(signature, replace(KEY, account=ANOTHER), model) == "provenance.other-publisher"
    assert code_of(signature, replace(KEY, key=OTHER.key), model) == "signing.other-key"


def test_a_replaced_key_vouches_for_what_was_published_by_then(signature, model):
    check_publisher(signature, replace(KEY, retired_at=9), model)
    check_publisher(signature, replace(KEY, retired_at=12), model)
    for model_or_none in (model, None):
        code = code_of(signature, replace(KEY, retired_at=8), model_or_none)
        assert code == "provenance.key-retired"
