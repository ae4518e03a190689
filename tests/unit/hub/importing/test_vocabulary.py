"""A vocabulary of a GGUF file cuts and spells text as the model's own tokenizer does."""

import time

import pytest
from tokenizers import Tokenizer, pre_tokenizers

from probatum.errors import Refusal
from probatum.hub.importing.vocabulary import Vocabulary, make_tokenizer
from probatum.runtime.text.chat import ChatTokenizer
from probatum.runtime.tokens import TEXT_CHARS

TOKENS = ["<|im_end|>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "he", "ll", "hell"]


def make(splitting):
    return make_tokenizer(
        Vocabulary(
            kind="gpt2",
            splitting=splitting,
            tokens=TOKENS,
            kinds=[3] + [1] * (len(TOKENS) - 1),
            merges=["h e", "l l", "he ll"],
        )
    )


@pytest.mark.parametrize(
    ("splitting", "words"),
    [
        ("gpt-2", ["I", "'m", " 42", " ok", "!", "\n\n ", " x"]),
        ("smollm", ["I", "'m", " ", "4", "2", " ok", "!", "\n\n ", " x"]),
        ("qwen2", ["I", "'m", " ", "4", "2", " ok", "!\n\n", " ", " x"]),
    ],
)
def test_text_is_cut_as_the_model_read_it(splitting, words):
    text = "".join(words)
    tokenizer = Tokenizer.from_buffer(make(splitting))
    cut = [text[begin:end] for _, (begin, end) in tokenizer.pre_tokenizer.pre_tokenize_str(text)]
    assert cut == words
    chat = ChatTokenizer(make(splitting), None)
    assert chat.decode(chat.encode_text(text)) == text
    assert chat.encode_text("hell<|im_end|>") == (len(TOKENS) - 1, 0)


def test_qwen2_takes_composed_characters():
    chat = ChatTokenizer(make("qwen2"), None)
    assert chat.encode_text("e\u0301") == chat.encode_text("\u00e9")


@pytest.mark.parametrize(
    "text",
    [
        " ",
        "\n" + " " * 99,
        " " * 999 + "x",
        "'",
        "'S",
        "a",
        "!",
        "!\n",
        " \t\r\n\u3000",
        "1",
        "x   ",
    ],
)
def test_no_text_takes_long(text):
    """Its regular expression goes back over white space alone, and once: time grows as the text."""
    chat = ChatTokenizer(make("qwen2"), None)
    begun = time.process_time()
    chat.encode_text((text * TEXT_CHARS)[:TEXT_CHARS])
    assert time.process_time() - begun < 3


def test_other_vocabularies_are_refused():
    with pytest.raises(Refusal) as caught:
        make("llama-bpe")
    assert caught.value.code == "import.unsupported-model"
