"""Rechecking a text by one prefill of the real engine (`TEXT-1`)."""

import msgspec
import pytest

from probatum.errors import Refusal
from probatum.evidence.texts import TextFault
from probatum.protocol.receipts import LogPosition, Receipt
from probatum.protocol.requests import ModelRef
from probatum.protocol.tensors import make_tensor_head
from probatum.protocol.texts import Text, TextQuestion, make_answer, make_question
from probatum.runtime.text.engine import TextEngine
from probatum.runtime.text.rechecking import recheck_text
from probatum.runtime.text.requests import TextRequest
from tests.factories import SALT, make_facts
from tests.text_packages import write_text_package
from tests.unit.nodes.giver import party
from tests.unit.runtime.text.llamas import TINY

QUESTION = TextQuestion(prompt=(5, 6, 7), limit=24, temperature=1.0, top_k=8)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return write_text_package(tmp_path_factory.mktemp("package") / "tiny", TINY)


def generate(package, nonce):
    engine = TextEngine(package.manifest, package.folder / "model.safetensors")
    done = []
    try:
        request = TextRequest(
            prompt=QUESTION.prompt,
            limit=QUESTION.limit,
            temperature=QUESTION.temperature,
            top_k=QUESTION.top_k,
            choice=0,
            nonce=nonce,
        )
        job = engine.submit(request, lambda _: None, done.append)
        while not done:
            pass
        assert job is not None
    finally:
        engine.close()
    return done[0].ids


def recheck(
    package, ids, nonce, *, ended=True, question=QUESTION, canonical=None, top_logprobs=None
):
    inputs, outputs = make_question(question), make_answer(Text(ids=ids, ended=ended))
    canonical = canonical or package.manifest.canonical.digest
    facts = make_facts(
        arithmetic="exact",
        model=ModelRef(package=package.digest.hex(), canonical=canonical),
        inputs=tuple(make_tensor_head(SALT, one) for one in inputs),
    )
    receipt = Receipt(
        request=msgspec.structs.replace(facts, nonce=nonce.hex()),
        outputs=tuple(make_tensor_head(SALT, one) for one in outputs),
        evidence="signed",
        node=party("a", "inference"),
        log=LogPosition(session=0, index=2, include_by=80),
        custody="0" * 64,
    )
    weights = package.folder / "model.safetensors"
    found = recheck_text(
        receipt, package.manifest, weights, inputs, outputs, None, top_logprobs=top_logprobs
    )
    return found if top_logprobs is not None else found.fault


def test_a_right_text_and_every_kind_of_wrong_one(package):
    nonce = b"n" * 32
    right = generate(package, nonce)
    assert len(right) > 8
    assert recheck(package, right, nonce) is None
    # Another chance than the request's: what a node says that ignores the nonce.
    other = generate(package, b"o" * 32)
    place = next(at for at, (one, two) in enumerate(zip(right, other, strict=False)) if one != two)
    found = recheck(package, other, nonce)
    assert (found.place, found.right, found.given) == (place, right[place], other[place])
    assert recheck(package, (*right[:5], 2), nonce) == TextFault(
        place=5, why="ended too early", right=right[5], given=2
    )
    assert recheck(package, right[:5], nonce, ended=False).why == "not ended"
    assert recheck(package, right[:5], nonce).why == "ended too early"
    assert recheck(package, (*right, *right), nonce).why == "ended too late"
    assert recheck(package, (*right[:3], 500), nonce) == TextFault(
        place=3, why="other choice", given=500
    )


def test_another_meaning_is_refused(package):
    with pytest.raises(Refusal) as caught:
        recheck(package, (5,), b"n" * 32, canonical="0" * 64)
    assert caught.value.code == "receipt.other-meaning"


def test_rechecking_tells_how_likely_each_token_was(package):
    nonce = b"n" * 32
    ids = generate(package, nonce)
    found = recheck(package, ids, nonce, top_logprobs=2)
    assert found.fault is None
    assert [len(place.top) for place in found.logprobs] == [2] * len(ids)
    assert all(place.chosen <= 0 for place in found.logprobs)
    # Also of a wrong text: what the model held of the tokens that were given.
    wrong = recheck(package, (*ids[:5], 2), nonce, top_logprobs=0)
    assert wrong.fault.place == 5
    assert [one.chosen for one in wrong.logprobs[:5]] == [one.chosen for one in found.logprobs[:5]]
