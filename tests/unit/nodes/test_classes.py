"""Requests name their class, and every party holds them to it (EXACT-1, RECEIPT-1, CANON-8)."""

import msgspec
import pytest

from probatum.client.checking import check_canonical
from probatum.errors import Refusal
from probatum.nodes.gateway.doors import oip as oip_door
from probatum.nodes.inference.handover import HandedOver, check_work
from probatum.protocol.manifests import (
    Canonical,
    DimRange,
    FileEntry,
    compute_package_digest,
    encode_manifest,
)
from probatum.protocol.messages import Refused
from probatum.protocol.oip import InferRequest
from probatum.protocol.receipts import LogPosition, Receipt, decode_receipt, encode_receipt
from probatum.protocol.requests import ModelRef
from probatum.protocol.statements import compute_record_digest
from probatum.protocol.tensors import make_tensor_head
from tests.factories import OUTPUTS, SALT, make_facts
from tests.unit.nodes.gateway.test_machine import ask, start_network
from tests.unit.nodes.giver import Handing, party
from tests.unit.nodes.network import MANIFEST, PACKAGE

GRAPH = FileEntry(path="canonical.bin", size=1, sha256="2" * 64)
DIGEST = "c" * 64
(DIM,) = {dim for spec in MANIFEST.inputs for dim in spec.shape if isinstance(dim, str)}
EXACT = msgspec.structs.replace(
    MANIFEST,
    files=tuple(sorted((*MANIFEST.files, GRAPH), key=lambda one: one.path)),
    canonical=Canonical(
        digest=DIGEST, graph="canonical.bin", dims=(DimRange(name=DIM, least=1, greatest=3),)
    ),
)
EXACT_PACKAGE = compute_package_digest(encode_manifest(EXACT))


class Settings:
    """What `check_work` reads of a node's settings."""

    height_slack_blocks = 10

    def __init__(self, classes):
        self.packages = {EXACT_PACKAGE: EXACT}
        self.classes = classes

    def list_classes(self, package):
        return self.classes if package in self.packages else ()


def check(arithmetic="exact", canonical=DIGEST, data=b"\1\2\3", classes=("float", "exact")):
    model = ModelRef(package=EXACT_PACKAGE.hex(), canonical=canonical)
    handing = Handing(data=data, facts={"arithmetic": arithmetic, "model": model})
    handed = HandedOver(
        record=handing.make_record(),
        envelope=None,
        payload=b"record",
        digest=compute_record_digest(b"record"),
        tree=compute_record_digest(b"record"),
        facts=handing.make_facts(),
    )
    return check_work(handed, handing.make(), Settings(classes), height=5, window_blocks=20)


def test_a_node_takes_exact_work_for_the_digest_that_its_package_states():
    assert check() is EXACT
    assert check("float", None) is EXACT


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"canonical": "d" * 64}, "handover.other-canonical"),
        ({"canonical": None}, "handover.other-canonical"),
        ({"arithmetic": "float"}, "handover.other-canonical"),
        ({"classes": ("float",)}, "handover.unknown-model"),
        ({"data": b"\1\2\3\4"}, "schema.dim-out-of-range"),
    ],
)
def test_a_node_refuses_other_exact_work(change, code):
    with pytest.raises(Refusal) as caught:
        check(**change)
    assert caught.value.code == code


def test_a_gateway_refuses_the_class_exact_for_a_model_without_meaning():
    network = start_network(("a",))
    reply = ask(network, arithmetic="exact")
    assert isinstance(reply, Refused)
    assert reply.code == "schema.not-exact"
    assert PACKAGE != EXACT_PACKAGE


@pytest.mark.parametrize(("arithmetic", "canonical"), [("exact", None), ("float", DIGEST)])
def test_a_receipt_names_the_canonical_digest_in_class_exact_alone(arithmetic, canonical):
    model = ModelRef(package=PACKAGE.hex(), canonical=canonical)
    receipt = make_receipt(arithmetic=arithmetic, model=model)
    with pytest.raises(Refusal) as caught:
        decode_receipt(encode_receipt(receipt))
    assert caught.value.code == "receipt.wrong-class"


def make_receipt(**facts):
    return Receipt(
        request=make_facts(**facts),
        outputs=tuple(make_tensor_head(SALT, tensor) for tensor in OUTPUTS),
        evidence="signed",
        node=party("a", "inference"),
        log=LogPosition(session=0, index=2, include_by=80),
        custody="0" * 64,
    )


def with_model(package, canonical):
    model = ModelRef(package=package.hex(), canonical=canonical)
    return make_receipt(arithmetic="exact", model=model)


def test_who_asked_holds_the_digest_to_the_package():
    manifest = encode_manifest(EXACT)
    check_canonical(with_model(EXACT_PACKAGE, DIGEST), manifest)
    for receipt, data, code in (
        (with_model(EXACT_PACKAGE, "d" * 64), manifest, "client.wrong-canonical"),
        (with_model(EXACT_PACKAGE, DIGEST), encode_manifest(MANIFEST), "client.other-manifest"),
        (with_model(PACKAGE, DIGEST), encode_manifest(MANIFEST), "client.wrong-canonical"),
    ):
        with pytest.raises(Refusal) as caught:
            check_canonical(receipt, data)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("parameters", "arithmetic"),
    [({}, "float"), ({"probatum_arithmetic": "exact"}, "exact")],
)
def test_the_inference_protocol_names_the_class_in_a_parameter(parameters, arithmetic):
    assert oip_door._read_class(InferRequest(tensors=(), parameters=parameters)) == arithmetic


def test_a_class_that_is_none_is_refused():
    request = InferRequest(tensors=(), parameters={"probatum_arithmetic": "roughly"})
    with pytest.raises(Refusal) as caught:
        oip_door._read_class(request)
    assert caught.value.code == "oip.unknown-class"
