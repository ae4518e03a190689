"""Whatever an engine says, who asked gets a sound text or one fault."""

import queue
import threading

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probatum.errors import Fault, ProbatumError, Refusal
from probatum.protocol.logprobs import unpack_logprobs
from probatum.protocol.texts import TextQuestion
from probatum.runtime.upstream.call import Call
from probatum.runtime.upstream.engine import UpstreamAnswer, UpstreamEngine, UpstreamLimits
from probatum.runtime.upstream.vllm import VllmServer
from probatum.runtime.upstream.wire import Wire
from tests.llama_servers import serve, write_tiny
from tests.unit.runtime.upstream.servers import events, speak
from tests.upstream_packages import RELAY, TINY, write_upstream

QUESTION = TextQuestion(prompt=(5, 6, 7), limit=6, temperature=0.0, top_k=5)
NONCE = bytes(32)
VLLM = msgspec.structs.replace(TINY, engine="vllm")
LIMITS = UpstreamLimits(texts=2, total_s=10, quiet_s=5)


@pytest.fixture(scope="module")
def manifests(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages")
    models = {"llama.cpp": TINY, "vllm": VLLM, "relay": RELAY}
    return {n: write_upstream(folder / n, model).manifest for n, model in models.items()}


def write(manifest, url, question=QUESTION, top=None):
    """Have one text written: what was told, and the outcome."""
    engine = UpstreamEngine(manifest, url, limits=LIMITS)
    done, heard = queue.SimpleQueue(), []
    try:
        hear = heard.append if top is None else lambda *run: heard.append(run)
        engine.submit(question, NONCE, hear, done.put, top_logprobs=top)
        outcome = done.get(timeout=20)
    finally:
        engine.close()
    if top is None:
        return sum(heard, ()), outcome
    return [(ids, unpack_logprobs(data, ids, top)) for ids, data in heard], outcome


def say(manifest, *documents, question=QUESTION, top=None):
    chunks = events(
        *(one if isinstance(one, bytes) else msgspec.json.encode(one) for one in documents)
    )
    with speak(lambda *_: (200, chunks)) as (url, asked):
        return *write(manifest, url, question, top), asked


def piece(*ids, reason=None):
    return {"choices": [{"index": 0, "text": "?", "token_ids": ids, "finish_reason": reason}]}


def test_vllm_is_asked_for_tokens_and_gives_them(manifests):
    heard, outcome, asked = say(
        manifests["vllm"], piece(20, 21), piece(22), piece(0, reason="stop")
    )
    assert heard == (20, 21, 22, 0)
    assert outcome == UpstreamAnswer(ids=heard, ended=True)
    path, body, _ = asked[0]
    body = msgspec.json.decode(body)
    assert path == "/v1/completions"
    assert body["prompt"] == [5, 6, 7]
    assert body["max_tokens"] == 6
    assert body["stop_token_ids"] == [0]
    assert body["return_token_ids"]
    assert 0 <= body["seed"] < 1 << 31


def test_vllm_weighs_an_answer_as_part_of_a_prompt():
    top = {"20": {"logprob": -1.0, "rank": 2}, "9": {"logprob": -0.5, "rank": 1}}
    reply = {"choices": [{"prompt_logprobs": [None, {}, top, None]}]}
    said = [msgspec.json.encode(reply)]
    with speak(lambda *_: (200, said)) as (url, _):
        server = VllmServer(Wire(url), "tiny")
        places = server.score((5, 6), (20, 21), 1, Call(total_s=5, quiet_s=5))
        assert places[0].given == -1.0
        assert [(one.id, one.logprob) for one in places[0].top] == [(9, -0.5)]
        assert places[1].given is None
        with pytest.raises(Fault) as caught:
            server.score((5, 6), (20,), 1, Call(total_s=5, quiet_s=5))
    assert caught.value.code == "upstream.bad-reply"


def weigh(document, own, top):
    document["choices"][0]["logprobs"] = {"token_logprobs": own, "top_logprobs": top}
    return document


def test_vllm_is_asked_for_logprobs_and_they_are_passed_on(manifests):
    first = weigh(
        piece(20, 21),
        [-1.0, -0.25],
        [{"token_id:9": -0.5, "token_id:20": -1.0}, {"token_id:21": -0.25}],
    )
    last = weigh(piece(0, reason="stop"), [-3.0], [{"token_id:9": -0.5, "token_id:0": -3.0}])
    heard, outcome, asked = say(manifests["vllm"], first, last, top=1)
    assert outcome == UpstreamAnswer(ids=(20, 21, 0), ended=True)
    places = [place for _, said in heard for place in said]
    assert [one.chosen for one in places] == [-1.0, -0.25, -3.0]
    assert [one.top for one in places] == [((9, -0.5),), ((21, -0.25),), ((9, -0.5),)]
    body = msgspec.json.decode(asked[0][1])
    assert (body["logprobs"], body["return_tokens_as_token_ids"]) == (1, True)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (piece(20), "upstream.bad-reply"),
        (weigh(piece(20, 21), [-1.0], None), "upstream.bad-reply"),
        (weigh(piece(20), [None], None), "upstream.no-logprobs"),
        (weigh(piece(20), [-1.0], [{"token_id:999": -0.5}]), "upstream.bad-reply"),
        (weigh(piece(20), [-1e300], None), "upstream.bad-reply"),
    ],
)
def test_an_engine_without_sound_logprobs_is_a_fault(manifests, document, code):
    _, outcome, _ = say(manifests["vllm"], document, piece(0, reason="stop"), top=1)
    assert outcome.code == code


def test_a_relay_has_no_logprobs(manifests):
    heard, outcome, asked = say(manifests["relay"], delta("Hé"), top=0)
    assert (heard, outcome.code, asked) == ([], "upstream.no-logprobs", [])


@pytest.mark.parametrize(
    ("documents", "code"),
    [
        ([piece(20), piece(21)], "upstream.other-end"),
        ([piece(999)], "upstream.bad-reply"),
        ([piece(20, 20, 20, 20, 20, 20, 20)], "upstream.bad-reply"),
        ([{"error": {"message": "broken"}}], "upstream.bad-reply"),
        ([b"{"], "upstream.bad-reply"),
        ([{"choices": [{}, {}]}], "upstream.bad-reply"),
        ([], "upstream.other-end"),
    ],
)
def test_what_is_no_text_is_a_fault(manifests, documents, code):
    _, outcome, _ = say(manifests["vllm"], *documents)
    assert outcome.code == code


def delta(text, reason=None):
    return {"choices": [{"delta": {"content": text}, "finish_reason": reason}]}


def test_a_relay_passes_texts_on_as_bytes(manifests):
    question = TextQuestion(prompt=tuple("Grüß".encode()), limit=50, temperature=0.5, top_k=1)
    heard, outcome, asked = say(
        manifests["relay"], delta("Hé"), delta("llo"), delta(None, "stop"), question=question
    )
    assert bytes(heard[:-1]).decode() == "Héllo"
    assert outcome == UpstreamAnswer(ids=heard, ended=True)
    assert heard[-1] == 256
    body = msgspec.json.decode(asked[0][1])
    assert body["messages"] == [{"role": "user", "content": "Grüß"}]
    assert body["model"] == "some/model-1"


def test_a_relay_stops_at_the_limit_and_breaks_with_the_line(manifests):
    heard, outcome, _ = say(manifests["relay"], delta("abcdefgh"))
    assert (bytes(heard), outcome.ended) == (b"abcdef", True)
    _, outcome, _ = say(manifests["relay"], delta("ab"))
    assert outcome.code == "upstream.bad-reply"


def test_a_relays_prompt_is_a_text(manifests):
    question = TextQuestion(prompt=(0xFF,), limit=5, temperature=0.0, top_k=1)
    heard, outcome, asked = say(manifests["relay"], delta("ab"), question=question)
    assert (heard, outcome.code, asked) == ((), "text.bad-token", [])


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "choices token_ids delta content tokens stop_type logprobs token_logprobs "
                "top_logprobs completion_probabilities id".split()
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=25, deadline=None)
@given(
    engine=st.sampled_from(["llama.cpp", "vllm", "relay"]),
    said=st.lists(json_like, max_size=3),
    top=st.none() | st.integers(0, 3),
)
def test_hostile_replies_end_in_a_sound_text_or_one_fault(manifests, engine, said, top):
    documents = [msgspec.json.encode(one) for one in said]
    chunks = documents if engine == "llama.cpp" else events(*documents)
    with speak(lambda *_: (200, chunks)) as (url, _):
        heard, outcome = write(manifests[engine], url, top=top)
    if top is not None:
        heard = sum((ids for ids, _ in heard), ())
    if isinstance(outcome, ProbatumError):
        assert outcome.code.startswith(("upstream.", "text."))
        assert outcome.code != "upstream.failed"
    else:
        assert outcome.ids == heard
        assert outcome.ended


def test_llama_cpp_is_a_relay_too(manifests, tmp_path):
    """Its chat interface, which gives texts alone."""
    question = TextQuestion(prompt=tuple(b"hell"), limit=40, temperature=0.0, top_k=1)
    with serve(write_tiny(tmp_path / "tiny.gguf")) as url:
        heard, outcome = write(manifests["relay"], url + "/v1", question)
    assert outcome == UpstreamAnswer(ids=heard, ended=True)
    assert len(heard) > 2
    assert bytes(one for one in heard if one < 256).decode("utf-8", "ignore")


def test_a_small_context_is_found(manifests, tmp_path):
    with serve(write_tiny(tmp_path / "tiny.gguf"), context=64) as url:
        assert UpstreamEngine(manifests["llama.cpp"], url).profile().context == 64
        large = msgspec.structs.replace(TINY, context=100)
        manifest = write_upstream(tmp_path / "large", large).manifest
        with pytest.raises(Fault) as caught:
            UpstreamEngine(manifest, url).profile()
    assert caught.value.code == "upstream.small-context"


def test_no_more_texts_than_it_takes_and_a_cancelled_one_has_what_was_heard(manifests):
    release = threading.Event()

    def drip(*_):
        yield events(msgspec.json.encode(piece(20)))[0]
        release.wait(10)

    done = queue.SimpleQueue()
    heard = queue.SimpleQueue()
    with speak(lambda *_: (200, drip())) as (url, _):
        engine = UpstreamEngine(manifests["vllm"], url, limits=LIMITS)
        jobs = [engine.submit(QUESTION, NONCE, heard.put, done.put) for _ in range(2)]
        assert [heard.get(timeout=5) for _ in jobs] == [(20,), (20,)]
        with pytest.raises(Refusal) as caught:
            engine.submit(QUESTION, NONCE, heard.put, done.put)
        assert caught.value.code == "text.busy"
        jobs[0].cancel()
        assert done.get(timeout=5) == UpstreamAnswer(ids=(20,), ended=False)
        engine.close()
        assert done.get(timeout=5) == UpstreamAnswer(ids=(20,), ended=False)
        with pytest.raises(Fault) as closed:
            engine.submit(QUESTION, NONCE, heard.put, done.put)
        assert closed.value.code == "upstream.closed"
        release.set()
