"""The published vectors of texts hold: requests, answers, prefixes, cancellations, blocks.

What is signed is built a second time here of plain JSON and a stranger's Ed25519 (`TEXT-1`).
"""

import base64
import hashlib
import json
import struct
from pathlib import Path

import gguf
import numpy as np
import pytest
from nacl.signing import SigningKey, VerifyKey

from probatum.canon.expand.language.blocks import WeightForm, decode_blocks
from probatum.errors import Refusal
from probatum.protocol import prefixes
from probatum.protocol.dsse import Envelope
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.encoding import decode_document, encode_document
from probatum.protocol.parties import Party
from probatum.protocol.requests import ModelRef, RequestFacts, compute_request_digest
from probatum.protocol.tensors import compute_salt_commitment, make_tensor_head
from probatum.protocol.texts import Text, TextQuestion, make_answer, make_question
from probatum.runtime.upstream.contract import make_rule

FOLDER = Path(__file__).parents[2] / "vectors"
VECTORS = json.loads((FOLDER / "protocol" / "text-1.json").read_text(encoding="utf-8"))
BLOCKS = json.loads((FOLDER / "canon" / "text-2.json").read_text(encoding="utf-8"))
KEYS = (
    "requests answers prefixes refused_prefixes other_prefixes cancellations "
    "refused_cancellations engine_seeds"
).split()


def each(key):
    return pytest.mark.parametrize("vector", VECTORS[key])


def list_heads(salt, tensors):
    return [json.loads(encode_document(make_tensor_head(salt, one))) for one in tensors]


def spell(value):
    """Spell a document as any JSON library does: fields as they come, no white space."""
    return json.dumps(value, separators=(",", ":"))


def make_plain_statement(kind, predicate):
    """Make a statement of plain JSON: what signatures are about."""
    subject = {
        "name": f"request:{predicate['request_id']}",
        "digest": {"sha256": predicate["request_digest"]},
    }
    kinds = {"_type": "https://in-toto.io/Statement/v1", "subject": [subject]}
    return spell(kinds | {"predicateType": kind, "predicate": predicate})


def check_plain_signature(envelope, payload, seed):
    """Check an envelope without our pages: RFC 8032 over DSSE's pre-authentication encoding."""
    told = json.loads(envelope)
    assert base64.b64decode(told["payload"]) == payload.encode()
    kind = told["payloadType"]
    message = f"DSSEv1 {len(kind)} {kind} {len(payload.encode())} {payload}".encode()
    (signature,) = told["signatures"]
    key = SigningKey(bytes.fromhex(seed)).verify_key
    VerifyKey(bytes(key)).verify(message, base64.b64decode(signature["sig"]))


def open_envelope(text):
    return decode_document(Envelope, text.encode(), limit_bytes=10_000)


def test_every_kind_of_vector_is_tested():
    assert list(VECTORS) == KEYS
    assert list(BLOCKS) == ["graphs", "blocks"]
    assert all(VECTORS.values())


@each("requests")
def test_requests(vector):
    salt = bytes.fromhex(vector["salt"])
    (temperature,) = struct.unpack(">f", bytes.fromhex(vector["temperature"]))
    question = TextQuestion(
        prompt=tuple(vector["prompt"]),
        limit=vector["limit"],
        temperature=temperature,
        top_k=vector["top_k"],
        choice=vector["choice"],
    )
    assert list_heads(salt, make_question(question)) == vector["inputs"]
    facts = RequestFacts(
        request_id=vector["request_id"],
        model=ModelRef(package=vector["package"], canonical=vector["canonical"]),
        arithmetic="exact",
        assurance="signed",
        inputs=tuple(make_tensor_head(salt, one) for one in make_question(question)),
        salt_commitment=compute_salt_commitment(salt).hex(),
        salt_by="client",
        nonce=vector["nonce"],
        nonce_by=vector["nonce_by"],
    )
    assert encode_document(facts).decode() == vector["facts"] == spell(json.loads(vector["facts"]))
    assert compute_request_digest(facts).hex() == vector["digest"]
    assert hashlib.sha256(vector["facts"].encode()).hexdigest() == vector["digest"]


@each("answers")
def test_answers(vector):
    text = Text(ids=tuple(vector["ids"]), ended=vector["ended"])
    assert list_heads(bytes.fromhex(vector["salt"]), make_answer(text)) == vector["outputs"]


@each("prefixes")
def test_prefixes(vector):
    signer = OperatingSigner(bytes.fromhex(vector["seed"]))
    salt, ids = bytes.fromhex(vector["salt"]), tuple(vector["ids"])
    assert prefixes.compute_prefix_root(salt, ids) == vector["root"]
    (answer, _) = make_answer(Text(ids=ids, ended=False))
    assert make_tensor_head(salt, answer).root == vector["root"]
    plain = {
        "request_id": vector["request_id"],
        "request_digest": vector["request_digest"],
        "node": {"role": "inference", "account": vector["account"], "key": signer.key.hex()},
        "custody": vector["custody"],
        "count": len(ids),
        "root": vector["root"],
    }
    assert make_plain_statement(prefixes.PREFIX_TYPE, plain) == vector["statement"]
    check_plain_signature(vector["envelope"], vector["statement"], vector["seed"])
    prefix, digest = prefixes.open_prefix(vector["envelope"].encode())
    assert hashlib.sha256(vector["statement"].encode()).hexdigest() == digest.hex()
    assert digest.hex() == vector["digest"]
    assert prefixes.sign_prefix(prefix, signer).decode() == vector["envelope"]
    prefixes.check_prefix(prefix, vector["request_digest"], salt, ids)


@each("refused_prefixes")
def test_refused_prefixes(vector):
    with pytest.raises(Refusal) as found:
        prefixes.open_prefix(vector["envelope"].encode())
    assert found.value.code == vector["code"]


@each("other_prefixes")
def test_other_prefixes(vector):
    prefix, _ = prefixes.open_prefix(vector["prefix"].encode())
    salt, ids = bytes.fromhex(vector["salt"]), tuple(vector["ids"])
    with pytest.raises(Refusal) as found:
        prefixes.check_prefix(prefix, vector["request_digest"], salt, ids)
    assert found.value.code == vector["code"]


@each("cancellations")
def test_cancellations(vector):
    signer = OperatingSigner(bytes.fromhex(vector["seed"]))
    giver = {"role": "gateway", "account": vector["account"], "key": signer.key.hex()}
    plain = {
        "request_id": vector["request_id"],
        "request_digest": vector["request_digest"],
        "by": giver,
        "seen": vector["seen"],
        "reason": vector["reason"],
    }
    assert make_plain_statement(prefixes.CANCEL_TYPE, plain) == vector["statement"]
    check_plain_signature(vector["envelope"], vector["statement"], vector["seed"])
    record, digest = prefixes.open_cancellation(open_envelope(vector["envelope"]))
    assert digest.hex() == vector["digest"]
    signed = encode_document(prefixes.sign_cancellation(record, signer))
    assert signed.decode() == vector["envelope"]
    prefixes.check_cancellation(record, vector["request_digest"], Party(**giver))


@each("refused_cancellations")
def test_refused_cancellations(vector):
    with pytest.raises(Refusal) as found:
        prefixes.open_cancellation(open_envelope(vector["envelope"]))
    assert found.value.code == vector["code"]


@each("engine_seeds")
def test_engine_seeds(vector):
    nonce, choice = bytes.fromhex(vector["nonce"]), vector["choice"]
    rule = make_rule(temperature=0.7, top_k=1, nonce=nonce, choice=choice)
    assert rule.make_seed(vector["place"]) == vector["seed"] < 1 << 31


@pytest.mark.parametrize("vector", BLOCKS["blocks"])
def test_blocks(vector):
    block = np.frombuffer(bytes.fromhex(vector["block"]), np.uint8)
    found = decode_blocks(WeightForm[vector["form"]], block[None])[0]
    assert [f"{bits:08x}" for bits in found.view(np.uint32).tolist()] == vector["elements"]
    with np.errstate(all="ignore"):
        others = gguf.dequantize(block, gguf.GGMLQuantizationType[vector["form"]])
    assert others.astype(np.float32).tobytes() == found.tobytes()
