"""`SIGN-2`, `LINE-1`, `BOM-1` at the command line, over a real ledger in memory."""

from __future__ import annotations

import json
import stat

import pytest

from probatum.cli import fetching, main, reading, vouching
from probatum.errors import Fault
from probatum.hub.build import PackageFacts, build_package
from probatum.hub.fetch import manifest_url, signature_url
from probatum.hub.signing import sign_package
from probatum.ledger.queries import list_items
from probatum.nodes.shell.keys import load_publisher_key
from probatum.protocol.hashing import sha256
from probatum.protocol.manifests import Parent, TensorSpec
from probatum.protocol.messages import GetState, GotState, ListedState, ListState
from probatum.protocol.p256 import PublisherSigner, compute_publisher_key_id, key_to_pem
from probatum.protocol.primitives import address_to_hex
from probatum.protocol.transactions.kinds import PublishModel, RegisterPublisherKey
from probatum.protocol.transactions.possession import sign_possession
from probatum.protocol.trust import KeyTrust, encode_trust
from tests.chain import ENGINE, Chain, account

SIGNER, OTHER = (PublisherSigner(sha256(b"publisher %d" % n)) for n in range(2))
SPEC = TensorSpec(name="x", dtype="float32", shape=("n", 2))


def make_package(folder, name, *, parents=(), licence="MIT"):
    facts = PackageFacts(
        name=name,
        version="1",
        task="test",
        licence=licence,
        description="",
        inputs=(SPEC,),
        outputs=(SPEC,),
        parents=tuple(
            Parent(package=digest.hex(), relation=relation) for digest, relation in parents
        ),
    )
    return build_package(facts, b"model " + name.encode(), folder / name)


class Town:
    """A ledger, nodes that serve packages, and a person at the command line."""

    def __init__(self, folder):
        self.folder = folder
        self.chain = Chain()
        self.pages = {}
        self.next_sequence = 0
        self.chain.register()

    @property
    def endpoint(self):
        return "http://127.0.0.1:8000"

    def exchange(self, endpoint, message, *, timeout_s=30):
        store, engine = self.chain.store, self.chain.engine
        if isinstance(message, GetState):
            items = engine.get_items(message.keys, prove=message.prove)
            return GotState(header=engine.last_header, items=items)
        assert isinstance(message, ListState)

        def scan(prefix, after, limit):
            return store.scan("record", prefix, after, limit)

        items, more = list_items(scan, message.prefix, message.after, message.limit)
        return ListedState(height=engine.height, items=items, more=more)

    def fetch(self, url, limit_bytes, *, timeout_s=30):
        if url not in self.pages:
            raise Fault("wire.unreachable", "nobody is there")
        return self.pages[url]

    def publish(self, package, number=0, **names):
        body = PublishModel(
            name=names.get("name", package.manifest.name),
            version="1",
            package=package.digest,
            size_bytes=5,
        )
        assert self.chain.do(account(number), body) == "ok"

    def serve(self, package, signature=None):
        offer = self.chain.offer(0, sequence=self.next_sequence, package=package.digest)
        assert self.chain.do(account(0), offer) == "ok"
        self.next_sequence += 1
        self.pages[manifest_url(self.endpoint, package.digest)] = package.manifest_bytes
        if signature:
            self.pages[signature_url(self.endpoint, package.digest)] = signature

    def register(self, signer, number=0):
        possession = sign_possession(self.chain.domain, account(number).address, signer)
        body = RegisterPublisherKey(key=signer.key, possession=possession)
        assert self.chain.do(account(number), body) == "ok"

    def sign(self, package, signer=SIGNER):
        signature = sign_package(package.manifest, package.digest, signer)
        (package.folder / "model.sig").write_bytes(signature)
        return signature


@pytest.fixture
def town(tmp_path, monkeypatch):
    town = Town(tmp_path)
    monkeypatch.setenv("PROBATUM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PROBATUM_LEDGER", "http://127.0.0.1:1")
    trust = KeyTrust(
        format="probatum-trust/1",
        chain_id=town.chain.domain.chain_id,
        genesis_hash=town.chain.domain.genesis_hash.hex(),
        engine="embedded",
        key=ENGINE.key.hex(),
    )
    (tmp_path / "trust.json").write_bytes(encode_trust(trust))
    monkeypatch.setenv("PROBATUM_TRUST", str(tmp_path / "trust.json"))
    monkeypatch.setattr(reading, "exchange", town.exchange)
    monkeypatch.setattr(fetching, "fetch", town.fetch)
    monkeypatch.setattr(vouching, "fetch", town.fetch)
    return town


@pytest.fixture
def run(capsys):
    def call(*words, status=0):
        assert main([*map(str, words), "--json"]) == status, capsys.readouterr()
        said = json.loads(capsys.readouterr().out)
        return said if status == 0 else said["error"]["code"]

    return call


def test_a_key_is_made_for_its_owner_alone(town, run):
    made = run("account", "publisher-key", "new")
    path = town.folder / "home" / "publisher-keys" / "me.json"
    signer = load_publisher_key(path)
    assert made["key_id"] == compute_publisher_key_id(signer.key).hex()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    shown = run("account", "publisher-key", "show")
    assert shown["pem"] == key_to_pem(signer.key)
    assert signer.secret.hex() not in json.dumps([made, shown])
    assert run("account", "publisher-key", "new", status=1) == "key.exists"
    assert run("account", "publisher-key", "new", "../x", status=1) == "account.bad-name"
    assert run("account", "publisher-key", "show", "x", status=1) == "publisher.unknown-key"


def test_registering_what_is_registered_changes_nothing(town, run, monkeypatch):
    run("account", "new")
    run("account", "publisher-key", "new")
    home = town.folder / "home"
    signer = load_publisher_key(home / "publisher-keys" / "me.json")
    monkeypatch.setattr("probatum.cli.publisher.load_signer", lambda *_: account(0))
    town.register(signer)
    said = run("account", "publisher-key", "register")
    assert (said["is_new"], said["height"]) == (False, town.chain.engine.height)


def test_a_package_is_signed_and_verified_by_key_without_a_ledger(town, run, monkeypatch):
    monkeypatch.delenv("PROBATUM_LEDGER")
    package = make_package(town.folder, "net")
    run("account", "publisher-key", "new")
    assert run("model", "verify", package.folder, "--key=me", status=1) == "provenance.unsigned"
    signed = run("model", "sign", package.folder)
    verified = run("model", "verify", package.folder, "--key", "me")
    assert verified == {
        "package": package.digest.hex(),
        "key_id": signed["key_id"],
        "holds": True,
        "is_whole": True,
    }
    (town.folder / "other.pub").write_text(key_to_pem(OTHER.key))
    other = town.folder / "other.pub"
    assert run("model", "verify", package.folder, "--key", other, status=1) == "signing.other-key"
    (package.folder / "model.onnx").write_bytes(b"model nat")
    assert run("model", "verify", package.folder, "--key=me", status=1) == "package.wrong-digest"
    assert run("model", "sign", package.folder, status=1) == "package.wrong-digest"


def test_a_stale_signature_does_not_stand_in_the_way_of_a_new_one(town, run):
    package, other = make_package(town.folder, "net"), make_package(town.folder, "other")
    town.sign(other)
    (other.folder / "model.sig").rename(package.folder / "model.sig")
    run("account", "publisher-key", "new")
    assert run("model", "verify", package.folder, "--key=me", status=1) == "signing.other-files"
    run("model", "sign", package.folder)
    assert run("model", "verify", package.folder, "--key=me")["holds"]
    assert sorted(path.name for path in town.folder.iterdir() if path.name[0] == ".") == []


def test_the_ledger_says_whose_a_signature_is(town, run):
    package = make_package(town.folder, "net")
    town.serve(package, town.sign(package))
    town.publish(package)
    for what in (package.folder, "net", "net@1"):
        assert run("model", "verify", what, status=1) == "provenance.unknown-key"
    town.register(SIGNER)
    found = run("model", "verify", package.folder)
    assert (found["signer"], found["is_whole"], found["is_proven"]) == (
        address_to_hex(account(0).address),
        True,
        True,
    )
    assert found["published"]["name"] == "net"
    assert run("model", "verify", "net")["is_whole"] is False


def test_anothers_key_does_not_vouch(town, run):
    package = make_package(town.folder, "net")
    town.serve(package, town.sign(package, OTHER))
    town.publish(package)
    town.register(OTHER, 1)
    for what in (package.folder, "net"):
        assert run("model", "verify", what, status=1) == "provenance.other-publisher"


def test_whoever_publishes_it_again_does_not_take_the_signers_place(town, run):
    package = make_package(town.folder, "net")
    town.serve(package, town.sign(package))
    town.publish(package, 1, name="copy")
    town.publish(package)
    town.register(SIGNER)
    assert run("model", "verify", package.folder)["published"]["name"] == "net"
    assert run("model", "verify", "copy", status=1) == "provenance.other-publisher"


def test_a_replaced_key_vouches_for_the_past_only(town, run):
    old, new = make_package(town.folder, "old"), make_package(town.folder, "new")
    town.register(SIGNER)
    town.publish(old)
    town.register(OTHER)
    town.publish(new)
    for package in (old, new):
        town.sign(package)
    assert run("model", "verify", old.folder)["retired_at"] is not None
    assert run("model", "verify", new.folder, status=1) == "provenance.key-retired"
    town.sign(new, OTHER)
    assert run("model", "verify", new.folder)["holds"]


def test_what_is_not_published_is_the_signers_all_the_same(town, run):
    package = make_package(town.folder, "net")
    town.sign(package)
    town.register(SIGNER, 1)
    found = run("model", "verify", package.folder)
    assert (found["published"], found["signer"]) == (None, address_to_hex(account(1).address))


def test_a_source_that_shows_a_false_signature_hides_no_true_one(town, run, monkeypatch):
    package = make_package(town.folder, "net")
    town.serve(package, b"{}")
    town.publish(package)
    town.register(SIGNER)
    assert run("model", "verify", "net", status=1) == "signing.malformed"
    second = "http://second:1"
    town.pages[signature_url(second, package.digest)] = town.sign(package)
    sources = (town.endpoint, second)
    monkeypatch.setattr(vouching, "find_sources", lambda *_: sources)
    assert run("model", "verify", "net")["holds"]


def test_a_folder_that_only_has_a_models_name_is_not_meant(town, run, monkeypatch):
    package = make_package(town.folder, "net")
    town.serve(package, town.sign(package))
    town.publish(package)
    town.register(SIGNER)
    (town.folder / "here" / "net").mkdir(parents=True)
    monkeypatch.chdir(town.folder / "here")
    assert run("model", "verify", "net")["is_whole"] is False
    assert run("model", "verify", "./net", status=1) == "package.missing-file"
    monkeypatch.chdir(town.folder)
    assert run("model", "verify", "net")["is_whole"] is True


def make_family(town):
    base = make_package(town.folder, "base", licence="Apache-2.0")
    middle = make_package(town.folder, "middle", parents=[(base.digest, "fine-tuned")])
    secret = sha256(b"nobody has it")
    parents = [(middle.digest, "quantised"), (secret, "distilled")]
    model = make_package(town.folder, "model", parents=parents)
    # Somebody was faster, under another name: the name in the manifest is the one that counts.
    town.publish(base, 1, name="a-copy")
    for package in (base, middle, model):
        town.publish(package)
        town.serve(package)
    return base, middle, secret, model


def test_a_models_tree_is_shown_with_names_licences_and_publishers(town, run, capsys):
    base, _, secret, _ = make_family(town)
    shown = run("model", "show", "model")
    assert shown["signature"]["code"] == "provenance.unsigned"
    first, second = shown["parents"]
    assert (first["name"], first["relation"], first["licence"]) == ("middle@1", "quantised", "MIT")
    (grand,) = first["parents"]
    assert (grand["name"], grand["package"]) == ("base@1", base.digest.hex())
    assert grand["publisher"] == address_to_hex(account(0).address)
    assert (second["package"], second["name"], second["is_known"]) == (secret.hex(), None, False)
    main(["model", "show", "model"])
    lines = capsys.readouterr().out.splitlines()
    unknown = "not published here, its own parents are unknown: no node offers it"
    who = address_to_hex(account(0).address)
    assert lines[lines.index("made from:") + 1 :][:3] == [
        f"├─ quantised from middle 1, MIT, by {who}",
        f"│  └─ fine-tuned from base 1, Apache-2.0, by {who}",
        f"└─ distilled from {secret.hex()}, {unknown}",
    ]


def test_a_models_signature_is_shown(town, run):
    package = make_package(town.folder, "net")
    town.serve(package, town.sign(package))
    town.publish(package)
    assert run("model", "show", "net")["signature"]["code"] == "provenance.unknown-key"
    town.register(SIGNER)
    key_id = compute_publisher_key_id(SIGNER.key).hex()
    shown = run("model", "show", "net")
    assert (shown["signature"]["holds"], shown["signature"]["key_id"]) == (True, key_id)
    assert (shown["record"]["is_proven"], shown["parents"]) == (True, [])


def test_a_bill_of_materials_is_written_alike_for_folder_and_name(town, run, capsys):
    *_, model = make_family(town)
    main(["model", "bom", "model"])
    named = capsys.readouterr().out
    run("model", "bom", model.folder, "-o", town.folder / "bom.json")
    assert (town.folder / "bom.json").read_text() == named
    run("model", "bom", model.folder, "--names", "-o", town.folder / "names.json")
    bom = json.loads((town.folder / "names.json").read_text())
    ancestors = bom["metadata"]["component"]["pedigree"]["ancestors"]
    assert [each["name"] for each in ancestors] == ["middle", sha256(b"nobody has it").hex()]
