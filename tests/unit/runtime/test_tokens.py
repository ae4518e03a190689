"""Texts to tokens, by files of strangers."""

import json

import pytest
from tokenizers import Tokenizer

from probatum.errors import Refusal
from probatum.runtime import tokens
from probatum.runtime.tokens import TextTokenizer, Tokens
from tests.unit.runtime.tokenizers import make_tokenizer

TRUNCATION = {"max_length": 6, "stride": 0, "strategy": "LongestFirst", "direction": "Right"}
PADDING = {
    "strategy": {"Fixed": 20},
    "direction": "Right",
    "pad_to_multiple_of": None,
    "pad_id": 0,
    "pad_type_id": 0,
    "pad_token": "[PAD]",
}


def refusal_of(data, **more):
    with pytest.raises(Refusal) as caught:
        TextTokenizer(data, **more)
    return caught.value.code


def test_it_says_what_the_library_says():
    data = make_tokenizer()
    texts = ["A man is eating.", "food", "the stock market"]
    oracle = Tokenizer.from_str(data.decode()).encode_batch(texts)
    found = TextTokenizer(data).encode(texts)
    assert [list(one.ids) for one in found] == [one.ids for one in oracle]
    assert found[1] == Tokens(ids=(1, 9, 2))


def test_padding_is_taken_off_and_what_is_cut_is_said():
    published = make_tokenizer(truncation=TRUNCATION, padding=PADDING)
    made = TextTokenizer(published)
    short, long = made.encode(["food", "a man is eating food"])
    assert (short.ids, short.is_cut) == ((1, 9, 2), False)
    assert (len(long.ids), long.is_cut) == (6, True)
    wider = TextTokenizer(published, max_tokens=8)
    assert (wider.max_tokens, wider.encode(["a man is eating food"])[0].is_cut) == (8, False)
    assert TextTokenizer(make_tokenizer()).max_tokens == tokens.LONGEST


def test_a_regular_expression_of_its_own_is_not_taken():
    split = {"type": "Split", "behavior": "Isolated", "invert": False}
    for bad in ("(a+)+$", "(x+x+)+y"):
        data = make_tokenizer(pre_tokenizer=split | {"pattern": {"Regex": bad}})
        assert refusal_of(data) == "tokens.bad-tokenizer"
        deep = {"type": "Sequence", "pretokenizers": [split | {"pattern": {"Regex": bad}}]}
        assert refusal_of(make_tokenizer(pre_tokenizer=deep)) == "tokens.bad-tokenizer"
    harmless = make_tokenizer(pre_tokenizer=split | {"pattern": {"Regex": " {2,}"}})
    assert TextTokenizer(harmless).encode(["food"])
    literal = make_tokenizer(pre_tokenizer=split | {"pattern": {"String": "(a+)+$"}})
    assert TextTokenizer(literal).encode(["food"])


MODEL = json.loads(make_tokenizer())["model"]


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"type": "Nonsense"}},
        {"model": MODEL | {"max_input_chars_per_word": 1_000_000}},
        {"model": MODEL | {"vocab": None}},
        {"model": MODEL | {"vocab": {"a": 0}}},
        {"truncation": TRUNCATION | {"max_length": 0}},
        {"padding": PADDING | {"pad_id": -1}},
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "x" * (3 << 20)}},
        {"post_processor": {"type": "TemplateProcessing", "single": [], "pair": []}},
    ],
)
def test_files_that_are_none_are_refused(change):
    data = make_tokenizer(**change)
    with pytest.raises(Refusal) as caught:
        TextTokenizer(data).encode(["a strange word"])
    assert caught.value.code == "tokens.bad-tokenizer"


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"{}", b"[" * 100_000, b'{"model":{}}'])
def test_bytes_that_are_none_are_refused(data):
    assert refusal_of(data) == "tokens.bad-tokenizer"


def test_deep_nesting_is_refused():
    part = None
    for _ in range(60):
        part = {"type": "Sequence", "normalizers": [part]}
    assert refusal_of(make_tokenizer(normalizer=part)) == "tokens.bad-tokenizer"


def test_sizes_are_bounded(monkeypatch):
    made = TextTokenizer(make_tokenizer())
    with pytest.raises(Refusal) as caught:
        made.encode(["food", "a" * (tokens.TEXT_CHARS + 1)])
    assert caught.value.code == "tokens.too-large"
    assert made.encode(["a" * tokens.TEXT_CHARS])[0].ids == (1, 3, 2)
    monkeypatch.setattr(tokens, "TOKENIZER_BYTES", 100)
    assert refusal_of(make_tokenizer()) == "tokens.too-large"
