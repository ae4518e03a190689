"""How likely the model holds each token, beside the text and without changing it."""

import math
from dataclasses import replace
from fractions import Fraction
from queue import SimpleQueue

import numpy as np
import pytest

from probatum.errors import Refusal
from probatum.protocol.logprobs import unpack_logprobs
from probatum.runtime.text import scheduler
from probatum.runtime.text.engine import TextEngine
from probatum.runtime.text.kernels import make_kernel
from probatum.runtime.text.logprobs import compute_logprobs
from probatum.runtime.text.pure import PureKernel
from probatum.runtime.text.requests import check_text_request
from tests.unit.runtime.text.llamas import draw_weights, write_weights
from tests.unit.runtime.text.test_engine import MANIFEST, REQUEST, TEXT, draw_requests

KERNELS = {"numpy": PureKernel, "fastest": make_kernel}


@pytest.fixture(scope="module", params=KERNELS)
def engine(request, tmp_path_factory):
    weights = draw_weights(TEXT, scale=2.0)
    path = write_weights(tmp_path_factory.mktemp("engine") / "model.safetensors", weights)
    engine = TextEngine(MANIFEST, path, kernel=KERNELS[request.param]())
    yield engine
    engine.close()


class Asked:
    def __init__(self, engine, request):
        self.told, self.runs, self.request = SimpleQueue(), [], request
        engine.submit(request, lambda *run: self.runs.append(run), self.told.put)

    def wait(self):
        """The answer's ids, and the logprobs of its new tokens."""
        found = self.told.get(timeout=60)
        if isinstance(found, Exception):
            raise found
        top = self.request.top_logprobs
        if top is None:
            assert all(len(run) == 1 for run in self.runs)
            return found.ids, ()
        places = [place for ids, data in self.runs for place in unpack_logprobs(data, ids, top)]
        return found.ids, tuple(places)


def compute_plainly(logits, token):
    """Log-softmax in numbers of 200 bits, by the definition."""
    greatest = max(map(float, logits))
    scale = 1 << 200
    powers = [
        Fraction(round(Fraction(math.exp(float(z) - greatest)) * scale), scale) for z in logits
    ]
    return float(logits[token]) - greatest - math.log(sum(powers))


def test_they_are_log_softmax_over_the_whole_vocabulary():
    rng = np.random.default_rng(1)
    for scale in (0.1, 3.0, 40.0):
        logits = (rng.standard_normal(500) * scale).astype(np.float32)
        token = int(rng.integers(500))
        found = compute_logprobs(logits, token, 20)
        assert found.chosen == pytest.approx(compute_plainly(logits, token), rel=1e-6, abs=1e-7)
        order = sorted(range(500), key=lambda v: (-logits[v], v))[:20]
        assert [one for one, _ in found.top] == order
        for one, logprob in found.top:
            assert logprob == np.float32(logprob)
            assert logprob == pytest.approx(compute_plainly(logits, one), rel=1e-6, abs=1e-7)
    everything = compute_logprobs(logits, 0, 500)
    assert sum(math.exp(one) for _, one in everything.top) == pytest.approx(1, abs=1e-6)


def test_equal_ones_come_by_number_and_far_ones_stay_finite():
    logits = np.array([1, 3, 3, 0, 3], np.float32)
    assert [one for one, _ in compute_logprobs(logits, 0, 2).top] == [1, 2]
    assert compute_logprobs(logits, 0, 0).top == ()
    assert len(compute_logprobs(logits, 0, 20).top) == 5
    most = np.finfo(np.float32).max
    far = compute_logprobs(np.array([most, -most], np.float32), 1, 2)
    assert far.top[0] == (0, 0.0)
    assert far.chosen == far.top[1][1] == -most


def test_no_token_depends_on_them_nor_they_on_what_is_beside(engine):
    """Same bits with and without; alone, eight at once, and some among them asking for none."""
    requests = draw_requests(8)
    plain = [Asked(engine, one).wait()[0] for one in requests]
    wished = [replace(one, top_logprobs=at % 21) for at, one in enumerate(requests, 13)]
    alone = [Asked(engine, one).wait() for one in wished]
    assert [ids for ids, _ in alone] == plain
    assert all(len(ids) == len(places) for ids, places in alone)
    together = [Asked(engine, one) for one in wished]
    assert [asked.wait() for asked in together] == alone
    mixed = [Asked(engine, one) for one in (*wished[:4], *requests[4:])]
    assert [asked.wait() for asked in mixed[:4]] == alone[:4]
    assert [asked.wait()[0] for asked in mixed[4:]] == plain[4:]


def test_only_those_who_asked_pay(engine, monkeypatch):
    """In one batch with others, and of a text that is gone on with, only the new tokens."""
    weighed = []

    def count(row, token, top):
        weighed.append(token)
        return compute_logprobs(row, token, top)

    monkeypatch.setattr(scheduler, "compute_logprobs", count)
    requests = draw_requests(6)
    wished = replace(requests[0], top_logprobs=2)
    together = [Asked(engine, one) for one in (wished, *requests[1:])]
    ids, *_ = (asked.wait()[0] for asked in together)
    assert tuple(weighed) == ids
    weighed.clear()
    Asked(engine, replace(wished, prefix=ids[:1])).wait()
    assert tuple(weighed) == ids[1:]


def test_who_goes_on_tells_those_of_new_tokens_and_the_same(engine):
    for request in draw_requests(6):
        wished = replace(request, top_logprobs=3)
        ids, places = Asked(engine, wished).wait()
        for cut in {1, len(ids) // 2, len(ids)}:
            found = Asked(engine, replace(wished, prefix=ids[:cut])).wait()
            assert found == (ids, places[cut:])


def test_one_prefill_tells_the_same_ones(engine):
    for request in draw_requests(6):
        ids, places = Asked(engine, replace(request, top_logprobs=5)).wait()
        assert engine.score(replace(request, top_logprobs=5), ids).logprobs == places
        assert engine.score(request, ids).logprobs == ()
        # Of a wrong token too: of the one that stands there, not of the one that should.
        wrong = ((ids[0] + 1) % 67, *ids[1:])
        found = engine.score(replace(request, top_logprobs=0), wrong).logprobs[0]
        assert found.chosen != places[0].chosen


def test_too_many_are_refused():
    for top, code in ((-1, "text.bad-logprobs"), (21, "text.bad-logprobs")):
        with pytest.raises(Refusal) as caught:
            check_text_request(MANIFEST, replace(REQUEST, top_logprobs=top))
        assert caught.value.code == code
    check_text_request(MANIFEST, replace(REQUEST, top_logprobs=20))
