"""What single tokens spell: bytes that add up to the text."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from probatum.runtime.text.chat import ChatTokenizer

ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())


def make_byte_level():
    tokenizer = Tokenizer(
        models.BPE(vocab={word: at for at, word in enumerate(ALPHABET)}, merges=[])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|end|>"])
    return ChatTokenizer(tokenizer.to_str().encode(), None)


def make_pieces(decoder, words):
    model = models.BPE(vocab={word: at for at, word in enumerate(words)}, merges=[])
    tokenizer = Tokenizer(model)
    tokenizer.decoder = decoder
    return ChatTokenizer(tokenizer.to_str().encode(), None)


@pytest.mark.parametrize("text", ["Hello, world", "naïve\n\ttabs", "日本語 😀", "\x00\x7f\xa0\xad"])
def test_bytes_of_byte_level_tokens_add_up_to_the_text(text):
    words = make_byte_level()
    ids = words.encode_text(text)
    assert len(ids) == len(text.encode())
    assert b"".join(map(words.spell, ids)) == text.encode()


def test_every_byte_has_its_token():
    words = make_byte_level()
    found = [words.spell(at) for at in range(256)]
    assert sorted(found) == [bytes((byte,)) for byte in range(256)]
    assert words.spell(256) == b"<|end|>"
    assert words.spell(257) is None


def test_pieces_with_spaces_and_bytes_of_their_own():
    fallback = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    words = make_pieces(fallback, ["\u2581the", "<0xE2>", "s", "<0x0A>"])
    assert [words.spell(at) for at in range(4)] == [b" the", b"\xe2", b"s", b"\n"]
    words = make_pieces(decoders.Metaspace(), ["\u2581the", "s"])
    assert [words.spell(at) for at in range(2)] == [b" the", b"s"]


def test_other_kinds_are_asked():
    words = make_pieces(decoders.WordPiece(), ["the", "##s"])
    assert [words.spell(at) for at in range(2)] == [b"the", b"##s"]
