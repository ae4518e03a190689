"""Chats and completions of the OpenAI API: read as its client writes them, written as it reads."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion as TheirCompletion
from openai.types.chat import ChatCompletion as TheirChat
from openai.types.chat import ChatCompletionChunk as TheirChunk

from probatum.errors import Refusal
from probatum.protocol import openai_text as text
from probatum.protocol.openai import encode_body

HI = [{"role": "user", "content": "Hi"}]
USAGE = text.TextUsage(prompt_tokens=2, completion_tokens=1, total_tokens=3)
EVIDENCE = text.TextEvidence(
    index=0,
    receipt="r",
    salt="00",
    package="11",
    text_class="text-exact",
    rule="GUMBEL-1",
    nonce="22",
    nonce_by="client",
    prompt_tokens=(1, 2),
    limit=9,
    temperature=0.5,
    top_k=4,
    choice=0,
    tokens=(3,),
    ended=True,
)
COMMON = {"id": "chatcmpl-1", "created": 7, "model": "m", "system_fingerprint": "f"}


def chat(**fields):
    return text.decode_chat(json.dumps({"model": "m", "messages": HI, **fields}).encode())


def prompts(**fields):
    return text.decode_prompts(json.dumps({"model": "m", "prompt": "Hi", **fields}).encode())


def test_a_chat_is_read():
    asked = chat(
        messages=[
            {"role": "developer", "content": "Be brief"},
            {
                "role": "user",
                "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            },
            {"role": "assistant", "content": None},
        ],
        temperature=0.5,
        seed=9,
        n=2,
        stop="\n",
        max_tokens=7,
        max_completion_tokens=5,
        stream=True,
        stream_options={"include_usage": True},
        probatum={"top_k": 3},
        top_p=1,
        presence_penalty=0,
        tools=[],
        tool_choice="none",
        response_format={"type": "text"},
        user="somebody",
    )
    said = [(one.role, one.content) for one in asked.messages]
    assert said == [("system", "Be brief"), ("user", "ab"), ("assistant", "")]
    assert asked.drawing == text.Drawing(
        temperature=0.5, seed=9, choices=2, stops=("\n",), limit=5, top_k=3, stream=True,
        include_usage=True,
    )  # fmt: skip


def test_what_is_left_out_is_as_in_that_api():
    assert chat().drawing == text.Drawing()
    assert prompts().drawing == text.Drawing(limit=16)


def test_prompts_are_texts_or_tokens():
    assert prompts(prompt=["a", "b"]).prompts == ("a", "b")
    assert prompts(prompt=[1, 2]).prompts == ((1, 2),)
    assert prompts(prompt=[[1], [2, 3]]).prompts == ((1,), (2, 3))


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"top_p": 0.9}, "openai.unsupported"),
        ({"presence_penalty": 0.1}, "openai.unsupported"),
        ({"frequency_penalty": -1}, "openai.unsupported"),
        ({"logit_bias": {"5": 1}}, "openai.unsupported"),
        ({"tools": [{"type": "function"}]}, "openai.unsupported"),
        ({"tool_choice": {"type": "function"}}, "openai.unsupported"),
        ({"response_format": {"type": "json_object"}}, "openai.unsupported"),
        ({"top_logprobs": 2}, "openai.malformed"),
        ({"logprobs": False, "top_logprobs": 2}, "openai.malformed"),
        ({"logprobs": True, "top_logprobs": 21}, "openai.malformed"),
        ({"logprobs": True, "top_logprobs": -1}, "openai.malformed"),
        ({"logprobs": 2}, "openai.malformed"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "openai.unsupported"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "openai.unsupported"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "openai.unsupported",
        ),
        ({"messages": [{"role": "god", "content": "x"}]}, "openai.unknown-role"),
        ({"messages": []}, "openai.malformed"),
        ({"messages": HI * 1025}, "openai.malformed"),
        ({"temperature": 2.1}, "openai.malformed"),
        ({"temperature": "hot"}, "openai.malformed"),
        ({"stop": ["a"] * 5}, "openai.malformed"),
        ({"stop": ""}, "openai.malformed"),
        ({"max_tokens": 0}, "openai.malformed"),
        ({"n": 9}, "openai.too-large"),
        ({"probatum": {"topk": 3}}, "openai.malformed"),
    ],
)
def test_what_cannot_be_done_is_refused(fields, code):
    with pytest.raises(Refusal) as caught:
        chat(**fields)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"prompt": ""}, "openai.empty-input"),
        ({"prompt": []}, "openai.empty-input"),
        ({"prompt": [[]]}, "openai.empty-input"),
        ({"prompt": ["a", 1]}, "openai.malformed"),
        ({"prompt": [[1], "a"]}, "openai.malformed"),
        ({"prompt": ["a", "b", "c"], "n": 3}, "openai.too-large"),
        ({"echo": True}, "openai.unsupported"),
        ({"suffix": "x"}, "openai.unsupported"),
        ({"best_of": 3}, "openai.unsupported"),
        ({"logprobs": 6}, "openai.malformed"),
        ({"logprobs": -1}, "openai.malformed"),
        ({"logprobs": True}, "openai.malformed"),
    ],
)
def test_prompts_that_cannot_be_served_are_refused(fields, code):
    with pytest.raises(Refusal) as caught:
        prompts(**fields)
    assert caught.value.code == code


def test_logprobs_are_asked_for_as_that_api_does():
    assert chat().drawing.logprobs is None
    assert chat(logprobs=False, top_logprobs=0).drawing.logprobs is None
    assert chat(logprobs=True).drawing.logprobs == 0
    assert chat(logprobs=True, top_logprobs=20).drawing.logprobs == 20
    assert prompts().drawing.logprobs is None
    assert [prompts(logprobs=top).drawing.logprobs for top in (0, 5)] == [0, 5]


def test_what_holds_an_answer_to_its_receipt_is_read_again():
    choice = text.make_chat_choice(0, "Hi", "stop")
    whole = text.ChatCompletion(**COMMON, choices=(choice,), usage=USAGE, probatum=(EVIDENCE,))
    body = msgspec.json.encode(whole)
    assert text.decode_text_evidence(body) == (EVIDENCE,)
    bad = [b"{", b"{}", b'{"probatum":[{}]}', b"\xff", body.replace(b"[3]", b"[-3]")]
    for data in [*bad, body.replace(b"[3]", b"[%d]" % 2**70)]:
        with pytest.raises(Refusal) as caught:
            text.decode_text_evidence(data)
        assert caught.value.code == "openai.malformed"


def test_their_client_reads_answers():
    choice = text.make_chat_choice(0, "Hi", "stop")
    whole = text.ChatCompletion(**COMMON, choices=(choice,), usage=USAGE, probatum=(EVIDENCE,))
    read = TheirChat.model_validate_json(encode_body(whole))
    assert read.choices[0].message.content == "Hi"
    assert read.model_extra["probatum"][0]["class"] == "text-exact"
    done = text.CompletionChoice(index=0, text="Hi", finish_reason="length")
    whole = text.Completion(**COMMON, choices=(done,), usage=USAGE, probatum=(EVIDENCE,))
    assert TheirCompletion.model_validate_json(encode_body(whole)).choices[0].text == "Hi"


def test_their_client_reads_pieces():
    piece = text.Chunk(
        **COMMON,
        object="chat.completion.chunk",
        choices=(text.ChunkChoice(index=0, delta=text.ChatDelta(content="H")),),
    )
    data = text.encode_event(piece)
    assert data.startswith(b"data: {")
    assert data.endswith(b"}\n\n")
    read = TheirChunk.model_validate_json(data[6:])
    assert read.choices[0].delta.content == "H"
    assert read.choices[0].finish_reason is None
    assert text.encode_event(None) == b"data: [DONE]\n\n"


@given(st.binary(max_size=200))
def test_garbage_is_refused(body):
    for decode in (text.decode_chat, text.decode_prompts):
        with pytest.raises(Refusal):
            decode(body)
