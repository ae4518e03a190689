import threading
from dataclasses import replace
from queue import SimpleQueue

import msgspec
import numpy as np
import pytest

from probatum.errors import Fault, Refusal
from probatum.protocol.manifests import (
    TEXT_INPUTS,
    TEXT_OUTPUTS,
    Canonical,
    DimRange,
    FileEntry,
    Manifest,
)
from probatum.runtime.text.engine import TextEngine
from probatum.runtime.text.pure import PureKernel
from probatum.runtime.text.requests import (
    TextAnswer,
    TextLimits,
    TextRequest,
    check_text_request,
    has_ended,
)
from tests.unit.runtime.text.llamas import TINY, draw_weights, write_weights

TEXT = msgspec.structs.replace(TINY, stop_ids=(2, 7, 8, 9))
MANIFEST = Manifest(
    format="probatum-package/1",
    name="tiny/llama",
    version="1.0.0",
    task="text-generation",
    licence="Apache-2.0",
    description="",
    model="model.safetensors",
    files=(FileEntry(path="model.safetensors", size=1, sha256="0" * 64),),
    inputs=TEXT_INPUTS,
    outputs=TEXT_OUTPUTS,
    parents=(),
    canonical=Canonical(
        digest="0" * 64,
        graph="model.safetensors",
        dims=(
            DimRange(name="a", least=1, greatest=40),
            DimRange(name="p", least=1, greatest=60),
        ),
    ),
    text=TEXT,
)
REQUEST = TextRequest(
    prompt=(3, 1, 4, 1, 5), limit=20, temperature=1.0, top_k=16, choice=0, nonce=bytes(range(32))
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    weights = draw_weights(TEXT, scale=2.0)
    return write_weights(tmp_path_factory.mktemp("engine") / "model.safetensors", weights)


@pytest.fixture
def make_engine(path):
    made = []

    def make(**words):
        made.append(TextEngine(MANIFEST, path, kernel=PureKernel(), **words))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


class Asked:
    """A text, and what its callbacks were told."""

    def __init__(self, engine, request):
        self.streamed, self.told, self.request = [], SimpleQueue(), request
        self.job = engine.submit(request, self.streamed.append, self.told.put)

    def wait(self):
        found = self.told.get(timeout=60)
        if isinstance(found, Exception):
            raise found
        new = sum(self.streamed, ())
        assert self.request.prefix + new == found.ids
        return found


def draw_requests(count):
    rng = np.random.default_rng(count)
    return [
        TextRequest(
            prompt=tuple(rng.integers(0, 67, rng.integers(1, 50)).tolist()),
            limit=int(rng.integers(1, 31)),
            temperature=float(rng.choice([0.0, 0.5, 1.5])),
            top_k=int(rng.integers(1, 17)),
            choice=int(rng.integers(0, 3)),
            nonce=rng.bytes(32),
        )
        for _ in range(count)
    ]


def test_an_answer_ends_by_a_stop_token_or_its_limit(make_engine):
    engine = make_engine()
    endings = set()
    for request in draw_requests(12):
        answer = Asked(engine, request).wait()
        assert answer.ended
        assert has_ended(TEXT, answer.ids, request.limit)
        endings.add(answer.ids[-1] in TEXT.stop_ids)
    assert endings == {True, False}


def test_no_answer_depends_on_those_beside_it(make_engine):
    """Sixteen texts alone, all at once, and in small chunks: other prompts, rules, lengths."""
    engine = make_engine()
    requests = draw_requests(16)
    alone = [Asked(engine, request).wait() for request in requests]
    together = [Asked(engine, request) for request in requests]
    assert [asked.wait() for asked in together] == alone
    small = make_engine(limits=TextLimits(chunk=3, chunk_beside=2))
    together = [Asked(small, request) for request in requests]
    assert [asked.wait() for asked in together] == alone


def test_a_prefix_is_continued_as_if_nothing_had_happened(make_engine):
    engine = make_engine()
    for request in draw_requests(8):
        whole = Asked(engine, request).wait()
        for cut in {1, len(whole.ids) // 2, len(whole.ids)}:
            asked = Asked(engine, replace(request, prefix=whole.ids[:cut]))
            assert asked.wait() == whole


def test_a_wrong_prefix_is_refused_at_its_first_wrong_place(make_engine):
    engine = make_engine()
    request = next(one for one in draw_requests(20) if len(Asked(engine, one).wait().ids) > 4)
    ids = Asked(engine, request).wait().ids
    forged = (*ids[:3], (ids[3] + 1) % 67, *ids[4:-1])
    forged = tuple(one if one not in TEXT.stop_ids else 10 for one in forged)
    asked = Asked(engine, replace(request, prefix=forged))
    with pytest.raises(Refusal, match="place 3 of the prefix") as caught:
        asked.wait()
    assert caught.value.code == "text.wrong-prefix"
    assert asked.streamed == []


def test_scores_are_the_rules_choices_and_the_end(make_engine):
    engine = make_engine()
    for request in draw_requests(6):
        answer = Asked(engine, request).wait()
        score = engine.score(request, answer.ids)
        assert score.chosen == answer.ids
        assert score.ended
        if len(answer.ids) > 1:
            assert not engine.score(request, answer.ids[:-1]).ended
        wrong = ((answer.ids[0] + 1) % 67, *answer.ids[1:])
        assert engine.score(request, wrong).chosen[0] == answer.ids[0]
        assert not engine.score(request, (*answer.ids, 3)).ended


def test_cancelling_gives_what_there_is(make_engine):
    engine = make_engine()
    begun, go_on = threading.Event(), threading.Event()
    told = SimpleQueue()
    seen = []

    def on_tokens(ids):
        seen.extend(ids)
        begun.set()
        go_on.wait(30)

    request = replace(REQUEST, limit=40, temperature=0.0, top_k=1)
    job = engine.submit(request, on_tokens, told.put)
    assert begun.wait(30)
    job.cancel()
    go_on.set()
    answer = told.get(timeout=30)
    assert answer == TextAnswer(ids=tuple(seen), ended=False)
    assert len(seen) == 1
    assert Asked(engine, request).wait().ids[:1] == tuple(seen)


def test_memory_is_bounded_and_given_back(make_engine):
    engine = make_engine(limits=TextLimits(texts=2))
    hold, told = threading.Event(), SimpleQueue()
    for _ in range(2):
        engine.submit(REQUEST, lambda _: hold.wait(30), told.put)
    with pytest.raises(Refusal) as caught:
        Asked(engine, REQUEST)
    assert caught.value.code == "text.busy"
    hold.set()
    for _ in range(2):
        told.get(timeout=30)
    assert Asked(engine, REQUEST).wait().ended
    small = make_engine(limits=TextLimits(cache_bytes=100))
    with pytest.raises(Refusal) as caught:
        Asked(small, REQUEST)
    assert caught.value.code == "text.busy"


def test_a_callback_that_raises_ends_its_own_text_alone(make_engine, monkeypatch):
    shown = []
    monkeypatch.setattr(threading, "excepthook", shown.append)
    engine = make_engine()

    def fail(_):
        raise ValueError("no")

    told = SimpleQueue()
    engine.submit(replace(REQUEST, temperature=0.0), fail, told.put)
    beside = Asked(engine, REQUEST)
    assert not told.get(timeout=30).ended
    assert beside.wait().ended
    assert [one.exc_type for one in shown] == [ValueError]


def test_a_kernel_that_fails_is_a_fault_and_the_engine_goes_on(make_engine):
    engine = make_engine()
    good = engine._kernel.gate
    engine._kernel.gate = lambda _: 1 // 0
    with pytest.raises(Fault) as caught:
        Asked(engine, REQUEST).wait()
    assert caught.value.code == "text.failed"
    engine._kernel.gate = good
    assert Asked(engine, REQUEST).wait().ended


def test_closing_ends_what_is_on_its_way(make_engine):
    engine = make_engine()
    hold = threading.Event()
    told = SimpleQueue()
    engine.submit(replace(REQUEST, limit=40), lambda _: hold.wait(30), told.put)
    threading.Timer(0.2, hold.set).start()
    engine.close()
    found = told.get(timeout=30)
    assert isinstance(found, TextAnswer) or found.code == "text.closed"
    with pytest.raises(Fault) as caught:
        Asked(engine, REQUEST)
    assert caught.value.code == "text.closed"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"prompt": ()}, "text.too-long"),
        ({"limit": 0}, "text.too-long"),
        ({"limit": 92}, "text.too-long"),
        ({"limit": 41}, "schema.dim-out-of-range"),
        ({"prompt": (67,)}, "text.bad-token"),
        ({"prompt": (-1,)}, "text.bad-token"),
        ({"prefix": (1 << 40,)}, "text.bad-token"),
        ({"temperature": -0.5}, "text.bad-rule"),
        ({"temperature": float("nan")}, "text.bad-rule"),
        ({"temperature": 1e39}, "text.bad-rule"),
        ({"top_k": 0}, "text.bad-rule"),
        ({"top_k": 17}, "text.bad-rule"),
        ({"choice": -1}, "text.bad-rule"),
        ({"choice": 1 << 63}, "text.bad-rule"),
        ({"nonce": bytes(31)}, "text.bad-rule"),
        ({"prefix": (3, 2, 3)}, "text.wrong-prefix"),
        ({"prefix": (3,) * 21}, "text.wrong-prefix"),
    ],
)
def test_bad_requests_are_refused_at_once(change, code):
    check_text_request(MANIFEST, REQUEST)
    with pytest.raises(Refusal) as caught:
        check_text_request(MANIFEST, replace(REQUEST, **change))
    assert caught.value.code == code


def test_a_package_without_a_language_model_is_refused(path):
    with pytest.raises(Refusal) as caught:
        TextEngine(msgspec.structs.replace(MANIFEST, text=None), path)
    assert caught.value.code == "text.no-model"


def test_bad_scores_are_refused(make_engine):
    engine = make_engine()
    for answer, code in (((), "text.too-long"), ((67,), "text.bad-token")):
        with pytest.raises(Refusal) as caught:
            engine.score(REQUEST, answer)
        assert caught.value.code == code
    assert isinstance(engine.kernel_name, str)


def test_a_text_that_ended_in_a_step_that_fails_is_told_once(make_engine):
    engine = make_engine()
    good, told, jobs = engine._kernel.gate, [], []
    joined = threading.Event()

    def end(_):
        joined.wait(30)  # the other text joins the step that follows
        jobs[0].cancel()
        engine._kernel.gate = lambda _: 1 // 0

    jobs.append(engine.submit(replace(REQUEST, temperature=0.0), end, told.append))
    beside = Asked(engine, REQUEST)
    joined.set()
    with pytest.raises(Fault) as caught:
        beside.wait()
    assert caught.value.code == "text.failed"
    engine._kernel.gate = good
    assert Asked(engine, REQUEST).wait().ended
    assert [one.ended for one in told] == [False]
