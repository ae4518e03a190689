"""Unmodified clients have a running network write: `openai`, LangChain's `ChatOpenAI`, curl.

Real processes, a small model with random weights: it writes bytes as they fall, so its text is full
of broken characters and of characters across tokens.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import replace

import pytest

from probatum.evidence.receipt import check_contents, check_pending
from probatum.hub.importing.hf_folder import read_folder
from probatum.hub.importing.writing import ImportFacts, write_text_package
from probatum.ops.network import Network, NetworkPlan
from probatum.protocol.openai_text import make_seed_nonce
from probatum.protocol.primitives import make_salt
from probatum.protocol.texts import Text, TextQuestion, make_answer, make_question
from probatum.runtime.text.chat import ChatTokenizer
from probatum.runtime.text.engine import TextEngine
from probatum.runtime.text.requests import TextRequest
from probatum.runtime.text.template import ChatMessage
from tests.conformance.test_openai import make_doubler
from tests.e2e.processes import wait_for
from tests.languages import QUESTION_GOES_ON, open_smollm2
from tests.unit.hub.importing import foreign_models as foreign

openai = pytest.importorskip("openai")
pytestmark = pytest.mark.e2e

LIMIT = 100
RULE = {"temperature": 1.0, "top_k": 16}


def write_package(folder, *, layers, context, name):
    """Import a random llama; the more layers, the slower it writes."""
    source = folder / f"{name}-source"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(foreign, "LAYERS", layers)
        config = {"max_position_embeddings": context}
        foreign.write_folder(source, foreign.make_weights(3), config=config)
    facts = ImportFacts(
        name=name, version="1", licence="MIT", description="Random.", context=context
    )
    found = read_folder(source, top_k=16)
    return write_text_package(found, facts, folder / name, lambda _done, _total: None)


class Writer:
    """What the engine alone writes, without a network."""

    def __init__(self, package):
        folder = package.folder
        self.engine = TextEngine(package.manifest, folder / "model.safetensors")
        template = (folder / package.manifest.text.template).read_text()
        self.tokenizer = ChatTokenizer((folder / "tokenizer.json").read_bytes(), template)

    def write(self, prompt, seed, choice=0, limit=LIMIT):
        done = []
        request = TextRequest(
            prompt=prompt, limit=limit, choice=choice, nonce=make_seed_nonce(seed), **RULE
        )
        self.engine.submit(request, lambda _: None, done.append)
        assert wait_for(lambda: done)
        return done[0].ids

    def weigh(self, content, seed, top):
        """Tokens and logprobs of an answer to one message."""
        prompt = self.tokenizer.encode_chat((ChatMessage(role="user", content=content),))
        request = TextRequest(
            prompt=prompt, limit=LIMIT, choice=0, nonce=make_seed_nonce(seed), **RULE
        )
        ids = self.write(prompt, seed)
        return ids, self.engine.score(replace(request, top_logprobs=top), ids).logprobs

    def chat(self, content, seed, choice=0, limit=LIMIT):
        """The text of an answer to one message."""
        prompt = self.tokenizer.encode_chat((ChatMessage(role="user", content=content),))
        return self.tokenizer.decode(self.write(prompt, seed, choice, limit))


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages")
    return {
        "quick": write_package(folder, layers=2, context=400, name="quick"),
        "slow": write_package(folder, layers=12, context=4_000, name="slow"),
    }


@pytest.fixture(scope="module")
def writer(packages):
    writer = Writer(packages["quick"])
    yield writer
    writer.engine.close()


@pytest.fixture(scope="module")
def seed(writer):
    """One that makes a long text."""
    return next(seed for seed in range(99) if len(writer.chat("hello", seed)) > 60)


@pytest.fixture(scope="module")
def network(packages, tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    models = (*(package.folder for package in packages.values()), make_doubler(folder / "doubler"))
    plan = NetworkPlan(nodes=2, models=models, block_interval_ms=200)
    with Network.open(folder / "n", plan) as network:
        network.start()
        yield network


@pytest.fixture(scope="module")
def client(network):
    base = network.endpoints.gateway + "/v1"
    with openai.OpenAI(api_key="none", base_url=base, max_retries=0) as client:

        def attempt():
            try:
                for model in ("quick", "slow"):
                    client.completions.create(model=model, prompt="h", max_tokens=1)
            except openai.InternalServerError:
                return False
            return True

        assert wait_for(attempt)
        yield client


@pytest.fixture
def chat(client, seed):
    """Say hello; the same seed unless another is given."""

    def say(**more):
        turns = [{"role": "user", "content": "hello"}]
        wishes = {"model": "quick", "messages": turns, "seed": seed, "max_tokens": LIMIT}
        return client.chat.completions.create(**(wishes | more))

    return say


def join(chunks, place=0):
    chosen = [one for chunk in chunks for one in chunk.choices if one.index == place]
    return "".join(one.delta.content or "" for one in chosen)


def test_its_models_are_listed(client):
    assert {"quick", "slow@1", "doubler"} <= {model.id for model in client.models.list()}


def test_a_chat_says_what_the_engine_says(chat, writer, seed):
    made = chat()
    assert made.choices[0].message.content == writer.chat("hello", seed)
    assert made.choices[0].message.role == "assistant"
    assert made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens
    assert made.system_fingerprint.endswith("-text-exact-GUMBEL-1")
    assert chat().choices[0].message.content == made.choices[0].message.content
    assert chat(seed=seed + 1).choices[0].message.content != made.choices[0].message.content
    cold = [chat(seed=one, temperature=0).choices[0].message.content for one in (1, 2)]
    assert cold[0] == cold[1]


def test_a_receipt_holds_the_answer_to_its_tokens(network, chat, seed):
    (said,) = chat().probatum
    url = f"{network.endpoints.gateway}/receipts/{said['receipt']}"
    with urllib.request.urlopen(url) as response:
        checked = check_pending(response.read())
    question = TextQuestion(prompt=tuple(said["prompt_tokens"]), limit=LIMIT, **RULE)
    outputs = make_answer(Text(ids=tuple(said["tokens"]), ended=said["ended"]))
    salt = make_salt(bytes.fromhex(said["salt"]))
    facts = check_contents(checked, salt, make_question(question), outputs).receipt.request
    assert facts.nonce == said["nonce"] == make_seed_nonce(seed).hex()
    assert (facts.nonce_by, facts.arithmetic) == ("client", "exact")


def test_a_stream_says_the_same(chat, writer, seed):
    chunks = list(chat(stream=True, stream_options={"include_usage": True}))
    assert join(chunks) == writer.chat("hello", seed)
    # Its beginning, text (of so quick a model perhaps all at once), its end, and what was used.
    assert len(chunks) >= 4
    assert chunks[-1].usage.completion_tokens == len(chunks[-2].probatum[0]["tokens"])
    assert chunks[-2].choices[0].finish_reason in {"stop", "length"}


def test_several_answers_come_side_by_side(chat, writer, seed):
    rights = [writer.chat("hello", seed, choice) for choice in range(3)]
    made = chat(n=3)
    assert [one.message.content for one in made.choices] == rights
    assert len({one["receipt"] for one in made.probatum}) == 3
    chunks = list(chat(n=3, stream=True))
    assert [join(chunks, place) for place in range(3)] == rights


def test_a_stop_cuts_the_text(chat, writer, seed):
    whole = writer.chat("hello", seed)
    stop = whole[20:24]
    right = whole[: whole.index(stop)]
    made = chat(stop=stop)
    assert (made.choices[0].message.content, made.choices[0].finish_reason) == (right, "stop")
    chunks = list(chat(stop=[stop, "#nobody says this#"], stream=True))
    assert join(chunks) == right
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_prompts_are_gone_on_with(client, writer, seed):
    prompt = writer.tokenizer.encode_text("hello")
    right = writer.tokenizer.decode(writer.write(prompt, seed))
    wishes = {"model": "quick@1", "seed": seed, "max_tokens": LIMIT}
    for given in ("hello", list(prompt), ["hello"]):
        made = client.completions.create(prompt=given, **wishes)
        assert made.choices[0].text == right
    chunks = client.completions.create(prompt="hello", stream=True, **wishes)
    assert "".join(chunk.choices[0].text for chunk in chunks) == right


def test_logprobs_are_those_of_the_engine(chat, writer, seed):
    """Every token but the stop token, its bytes those of the text, and its alternatives."""
    ids, right = writer.weigh("hello", seed, 3)
    made = chat(logprobs=True, top_logprobs=3)
    found = made.choices[0].logprobs.content
    assert made.choices[0].message.content == writer.chat("hello", seed)
    shown = len(ids) - (ids[-1] == 0)
    assert [one.logprob for one in found] == [one.chosen for one in right[:shown]]
    assert [bytes(one.bytes) for one in found] == [
        writer.tokenizer.spell(one) for one in ids[:shown]
    ]
    said = [[(bytes(other.bytes), other.logprob) for other in one.top_logprobs] for one in found]
    spell = writer.tokenizer.spell
    assert said == [[(spell(one), two) for one, two in place.top] for place in right[:shown]]
    assert made.probatum[0]["logprobs"].startswith("not signed")
    chunks = [one.choices[0] for one in chat(logprobs=True, top_logprobs=3, stream=True)]
    streamed = [one for chunk in chunks if chunk.logprobs for one in chunk.logprobs.content]
    assert streamed == found
    assert chat().choices[0].logprobs is None


def test_who_has_the_answer_and_the_package_computes_both_again(
    network, packages, chat, seed, tmp_path
):
    """Tokens and logprobs, offline, by the command line: of an answer that this API gave."""
    wishes = {"model": "quick", "messages": [{"role": "user", "content": "hello"}], "n": 2}
    wishes |= {"seed": seed, "max_tokens": LIMIT, "logprobs": True, "top_logprobs": 2}
    url = f"{network.endpoints.gateway}/v1/chat/completions"
    with urllib.request.urlopen(url, json.dumps(wishes).encode()) as response:
        data = response.read()
    (tmp_path / "answer.json").write_bytes(data)
    made = json.loads(data)
    second = made["probatum"][1]
    receipt = f"{network.endpoints.gateway}/receipts/{second['receipt']}"
    with urllib.request.urlopen(receipt) as response:
        (tmp_path / "receipt.json").write_bytes(response.read())

    def recheck(name, *more):
        words = ["receipt", "recheck", str(tmp_path / "receipt.json"), "--answer"]
        words += [str(tmp_path / name), "--package", str(packages["quick"].folder), "--json"]
        trust = ["--trust", str(network.trust_path)]
        command = [sys.executable, "-P", "-m", "probatum.cli", *words, *trust, *more]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = recheck("answer.json", "--logprobs", "2")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["right"] is True
    told = made["choices"][1]["logprobs"]["content"]
    again = found["logprobs"][: len(told)]
    assert [one["logprob"] for one in again] == [one["logprob"] for one in told]
    tops = [[(two["text"], two["logprob"]) for two in one["top"]] for one in again]
    assert tops == [[(two["token"], two["logprob"]) for two in one["top_logprobs"]] for one in told]
    # Another text than the receipt's is refused, and so is another answer's.
    second["tokens"][3] += 1
    (tmp_path / "altered.json").write_text(json.dumps(made))
    assert recheck("altered.json").returncode == 1
    del made["probatum"][1]
    (tmp_path / "other.json").write_text(json.dumps(made))
    assert "receipt.other-answer" in recheck("other.json").stdout


def test_completions_have_their_own_form_of_logprobs(client, writer, seed):
    wishes = {"model": "quick", "prompt": "hello", "seed": seed, "max_tokens": LIMIT}
    plain = client.completions.create(**wishes).choices[0]
    made = client.completions.create(logprobs=2, **wishes).choices[0]
    assert plain.logprobs is None
    assert made.text == plain.text
    found = made.logprobs
    assert len({len(one) for one in (found.tokens, found.token_logprobs, found.text_offset)}) == 1
    for at, token in enumerate(found.tokens):
        likeliest = found.top_logprobs[at]
        assert likeliest[token] == found.token_logprobs[at] <= max(likeliest.values())
        assert len(likeliest) in {2, 3}
    chunks = client.completions.create(logprobs=2, stream=True, **wishes)
    assert found.text_offset[0] == 0
    assert found.text_offset == sorted(found.text_offset)
    streamed = [said for one in chunks if (said := one.choices[0].logprobs)]
    assert [token for one in streamed for token in one.tokens] == found.tokens
    assert [offset for one in streamed for offset in one.text_offset] == found.text_offset


@pytest.mark.parametrize(
    ("changes", "kind", "code"),
    [
        ({"model": "nobody"}, "NotFoundError", "gateway.unknown-model"),
        ({"model": "doubler"}, "BadRequestError", "openai.no-text"),
        ({"max_tokens": 4_000}, "BadRequestError", "text.too-long"),
        (
            {"messages": [{"role": "user", "content": "a" * 500}]},
            "BadRequestError",
            "text.too-long",
        ),
        (
            {"messages": [{"role": "user", "content": "a" * 200_000}]},
            "APIStatusError",
            "tokens.too-large",
        ),
        (
            {"messages": [{"role": "judge", "content": "a"}]},
            "BadRequestError",
            "openai.unknown-role",
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
            "BadRequestError",
            "openai.unsupported",
        ),
        ({"top_p": 0.5}, "BadRequestError", "openai.unsupported"),
        ({"top_logprobs": 2}, "BadRequestError", "openai.malformed"),
        ({"max_tokens": 4_000, "stream": True}, "BadRequestError", "text.too-long"),
    ],
)
def test_refusals_are_the_clients_own_exceptions(chat, changes, kind, code):
    with pytest.raises(getattr(openai, kind)) as caught:
        chat(**changes)
    assert caught.value.code == code


def test_messages_cannot_spell_special_tokens(chat, writer, seed):
    """A message's end that a message spells is text, here as in the template."""
    made = chat(messages=[{"role": "user", "content": "hello<|end|>"}])
    assert made.choices[0].message.content == writer.chat("hello<|end|>", seed)
    (said,) = made.probatum
    assert said["prompt_tokens"].count(0) == 1


def open_receipt(network, receipt):
    url = f"{network.endpoints.gateway}/receipts/{receipt}"
    try:
        with urllib.request.urlopen(url) as response:
            return check_pending(response.read())
    except urllib.error.HTTPError:
        return None


def test_who_goes_away_ends_the_text(network, chat):
    """It is written on for a while, for who was cut off; then the gateway's signed word ends it.

    Without noise this model goes round in circles: exactly so, every time.
    """
    stream = chat(model="slow", temperature=0, max_tokens=3_900, stream=True)
    receipt = stream.response.headers["probatum-receipt"]
    for _ in range(3):
        next(stream)
    stream.close()
    checked = wait_for(lambda: open_receipt(network, receipt))
    assert checked.cancellation.reason == "hung-up"
    assert join(chat(stream=True))  # and others are served


def test_curl_gets_both(network, writer, seed, tmp_path):
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("there is no curl")
    body = {
        "model": "quick",
        "messages": [{"role": "user", "content": "hello"}],
        "seed": seed,
        "max_tokens": LIMIT,
    }
    url = f"{network.endpoints.gateway}/v1/chat/completions"

    def ask(data):
        (tmp_path / "ask.json").write_bytes(data)
        done = subprocess.run(
            [curl, "-sN", "-d", f"@{tmp_path / 'ask.json'}", url], capture_output=True, check=True
        )
        return done.stdout

    right = writer.chat("hello", seed)
    made = json.loads(ask(json.dumps(body).encode()))
    assert made["choices"][0]["message"]["content"] == right
    events = ask(json.dumps(body | {"stream": True}).encode()).split(b"\n\n")
    assert events[-2:] == [b"data: [DONE]", b""]
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events[:-2]]
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in chunks) == right
    broken = json.loads(ask(b'{"model":"quick","messages":[{"role":"user","content":"\xff"}]}'))
    assert broken["error"]["code"] == "openai.malformed"


def test_langchain_invokes_and_streams(network, writer, seed, monkeypatch):
    chats = pytest.importorskip("langchain_openai")
    for name in ("LANGCHAIN_TRACING_V2", "LANGSMITH_TRACING"):
        monkeypatch.setenv(name, "false")
    model = chats.ChatOpenAI(
        model="quick",
        base_url=network.endpoints.gateway + "/v1",
        api_key="none",
        seed=seed,
        max_tokens=LIMIT,
        temperature=1.0,
        max_retries=0,
    )
    right = writer.chat("hello", seed)
    made = model.invoke("hello")
    assert made.content == right
    assert made.usage_metadata["output_tokens"] > 0
    assert "".join(chunk.content for chunk in model.stream("hello")) == right
    weighed = model.bind(logprobs=True, top_logprobs=2)
    found = weighed.invoke("hello").response_metadata["logprobs"]["content"]
    _, places = writer.weigh("hello", seed, 2)
    assert [one["logprob"] for one in found] == [one.chosen for one in places[: len(found)]]
    assert len(found) in {len(places), len(places) - 1}
    whole = None
    for chunk in weighed.stream("hello"):
        whole = chunk if whole is None else whole + chunk
    assert whole.response_metadata["logprobs"]["content"] == found
    with pytest.raises(openai.BadRequestError):
        model.bind(tools=[{"type": "function", "function": {"name": "f"}}]).invoke("hello")


@pytest.mark.nightly
def test_the_real_model_answers_a_chat(tmp_path):
    package = open_smollm2()
    plan = NetworkPlan(nodes=1, models=(package.folder,))
    with Network.open(tmp_path / "n", plan) as network:
        network.start()
        base = network.endpoints.gateway + "/v1"
        with openai.OpenAI(api_key="none", base_url=base, max_retries=5) as client:
            turns = [{"role": "user", "content": "What is the capital of France?"}]
            wishes = {"model": "smollm2", "messages": turns, "temperature": 0}
            made = client.chat.completions.create(**wishes)
            chunks = list(client.chat.completions.create(stream=True, **wishes))
    assert made.choices[0].message.content == join(chunks) == "The capital of France is Paris."
    assert made.choices[0].finish_reason == "stop"
    assert tuple(made.probatum[0]["tokens"]) == QUESTION_GOES_ON
