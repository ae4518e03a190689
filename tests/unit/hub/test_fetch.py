"""Fetching takes bytes from strangers and keeps what the digest names."""

import asyncio

import pytest

from probatum.errors import Fault
from probatum.hub.fetch import fetch_package, file_url, manifest_url, signature_url
from probatum.hub.signing import sign_package
from probatum.hub.store import PackageStore
from probatum.protocol.p256 import PublisherSigner

GOOD, BAD = "http://good:1", "http://bad:2"


class Web:
    """Addresses and what lies behind them, in pieces of seven bytes."""

    def __init__(self, package):
        self.pages = {manifest_url(GOOD, package.digest): package.manifest_bytes}
        for entry in package.manifest.files:
            url = file_url(GOOD, package.digest, entry.path)
            self.pages[url] = package.read_file(entry.path)
        self.sent = 0
        self.asked = []

    def copy_to(self, source):
        for url, data in list(self.pages.items()):
            self.pages[url.replace(GOOD, source)] = data

    def find(self, source, ending):
        (url,) = [u for u in self.pages if u.startswith(source) and u.endswith(ending)]
        return url

    async def get(self, url, limit_bytes):
        self.asked.append(url)
        if url not in self.pages:
            raise Fault("http.status", "404")
        data = self.pages[url]
        for at in range(0, len(data), 7):
            self.sent += 7
            yield data[at : at + 7]


@pytest.fixture
def web(package):
    return Web(package)


@pytest.fixture
def store(tmp_path):
    return PackageStore(tmp_path / "store")


def fetch(package, store, web, *sources):
    return asyncio.run(fetch_package(package.digest, sources, store, web.get))


def test_a_package_is_fetched_once(package, store, web):
    fetched = fetch(package, store, web, GOOD)
    assert fetched.manifest_bytes == package.manifest_bytes
    assert fetched.read_model() == package.read_model()
    assert len(web.asked) == 6
    assert fetch(package, store, web) == fetched
    assert len(web.asked) == 6


def test_a_source_that_knows_nothing_is_passed_over(package, store, web):
    assert fetch(package, store, web, BAD, GOOD).digest == package.digest


@pytest.mark.parametrize("ending", ["manifest", "model.onnx", "docs/card.md"])
@pytest.mark.parametrize("lie", [lambda d: d[:-1], lambda d: d[:-1] + b"!", lambda d: d + b"!"])
def test_a_source_that_lies_costs_one_file_and_no_more(package, store, web, ending, lie):
    web.copy_to(BAD)
    url = web.find(BAD, ending)
    web.pages[url] = lie(web.pages[url])
    assert fetch(package, store, web, BAD, GOOD).digest == package.digest
    unsigned = signature_url(GOOD, package.digest)
    assert [u for u in web.asked if u.startswith(GOOD)] == [web.find(GOOD, ending), unsigned]


def test_nothing_beyond_the_promised_size_is_taken(package, store, web):
    web.pages[web.find(GOOD, "LICENSE")] = b"x" * 10_000_000
    with pytest.raises(Fault) as caught:
        fetch(package, store, web, GOOD)
    assert caught.value.code == "package.unobtainable"
    assert GOOD in caught.value.message
    assert web.sent < 20_000
    assert store.list() == ()


def test_with_nobody_to_ask_it_says_so(package, store, web):
    with pytest.raises(Fault) as caught:
        fetch(package, store, web)
    assert caught.value.code == "package.unobtainable"
    assert caught.value.hint


def test_a_package_damaged_in_the_store_is_fetched_anew(package, store, web):
    fetch(package, store, web, GOOD)
    (store.open(package.digest).folder / "LICENSE").write_bytes(b"fake")
    assert fetch(package, store, web, GOOD).read_file("LICENSE") == b"free"


def test_a_signature_comes_along_from_whoever_has_one_about_this_package(package, store, web):
    signature = sign_package(package.manifest, package.digest, PublisherSigner(b"s" * 32))
    web.copy_to(BAD)
    web.pages[signature_url(BAD, package.digest)] = b"{}"
    web.pages[signature_url(GOOD, package.digest)] = signature
    assert fetch(package, store, web, BAD, GOOD).signature == signature


@pytest.mark.parametrize("sent", [b"{}", b" " * 200_000])
def test_a_false_signature_does_not_keep_the_package_away(package, store, web, sent):
    web.pages[signature_url(GOOD, package.digest)] = sent
    fetched = fetch(package, store, web, GOOD)
    assert fetched.signature is None
    assert fetched.read_model() == package.read_model()
