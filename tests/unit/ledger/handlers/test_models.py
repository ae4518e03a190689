"""Publishing models: names are bound once and belong to somebody."""

import pytest

from probatum.protocol import limits
from probatum.protocol.hashing import sha256
from probatum.protocol.records import (
    PACKAGE,
    ModelRecord,
    NameRecord,
    PackageNameRecord,
    get_model_key,
    get_name_key,
    get_package_name_key,
)
from probatum.protocol.transactions.kinds import PublishModel
from tests.chain import PACKAGE as DIGEST
from tests.chain import Chain, account


def publish(version="1", package=DIGEST, name="magika", size=10):
    return PublishModel(name=name, version=version, package=package, size_bytes=size)


def test_a_version_is_bound_for_ever():
    chain = Chain()
    assert chain.do(account(0), publish()) == "ok"
    found = chain.record(get_model_key("magika", "1"), ModelRecord)
    assert (found.publisher, found.package, found.published_at) == (
        account(0).address,
        DIGEST,
        1,
    )
    assert chain.do(account(0), publish(package=sha256(b"x"))) == "ledger.model-exists"
    assert chain.do(account(0), publish()) == "ledger.model-exists"
    assert chain.do(account(0), publish("2")) == "ok"
    assert chain.record(get_name_key("magika"), NameRecord) == NameRecord(
        publisher=account(0).address, claimed_at=1
    )


def test_nobody_adds_versions_to_anothers_model():
    chain = Chain()
    chain.do(account(0), publish())
    assert chain.do(account(1), publish("2")) == "ledger.name-taken"
    assert chain.do(account(1), publish(name="magika2")) == "ok"


@pytest.mark.parametrize("size", [0, limits.PACKAGE_BYTES + 1])
def test_sizes_are_bounded(size):
    assert Chain().do(account(0), publish(size=size)) == "ledger.bad-size"


def test_a_digest_leads_to_all_its_names():
    chain = Chain()
    chain.do(account(0), publish())
    chain.do(account(1), publish(name="copy", version="7"))
    chain.do(account(0), publish("2", package=sha256(b"x")))
    found = [key for key in chain.records() if key.startswith(PACKAGE + DIGEST)]
    names = [("copy", "7"), ("magika", "1")]
    assert found == [get_package_name_key(DIGEST, *name) for name in names]
    assert [chain.record(key, PackageNameRecord) for key in found] == [
        PackageNameRecord(name=name, version=version) for name, version in names
    ]
