"""Texts to tokens at a gateway: short ones on the event loop, what may take long beside it."""

import asyncio
import threading

import pytest

from probatum.errors import Refusal
from probatum.nodes.shell.tokenising import ChatShelf
from probatum.runtime.text.sandbox import WORK


class Tokenizer:
    """Says on which thread it was asked, and with how much work."""

    def __init__(self, needs=0):
        self.needs = needs
        self.asked = []

    def encode_text(self, text):
        self.asked.append(threading.current_thread() is threading.main_thread())
        return (len(text),)

    def encode_chat(self, messages, *, work=WORK):
        self.asked.append((threading.current_thread() is threading.main_thread(), work))
        if work < self.needs:
            raise Refusal("template.too-much", "more")
        return (len(messages),)


@pytest.mark.parametrize(
    ("texts", "here"), [(("a" * 500, "b" * 500), True), (("a" * 1001,), False)]
)
def test_short_texts_need_no_thread(texts, here):
    tokenizer = Tokenizer()
    found = asyncio.run(ChatShelf().encode_texts(tokenizer, texts))
    assert found == tuple((len(text),) for text in texts)
    assert tokenizer.asked == [here] * len(texts)


def test_a_short_chat_needs_no_thread_and_its_template_may_do_little_there():
    tokenizer = Tokenizer()
    assert asyncio.run(ChatShelf().encode_chat(tokenizer, (("user", "hello"),))) == (1,)
    ((here, work),) = tokenizer.asked
    assert here
    assert work <= WORK // 100


def test_a_template_that_does_more_gets_a_thread_and_all_that_it_may():
    tokenizer = Tokenizer(needs=WORK)
    assert asyncio.run(ChatShelf().encode_chat(tokenizer, (("user", "hello"),))) == (1,)
    assert tokenizer.asked[1:] == [(False, WORK)]
    long = Tokenizer()
    asyncio.run(ChatShelf().encode_chat(long, (("user", "a" * 600), ("user", "b" * 600))))
    assert long.asked == [(False, WORK)]


def test_what_a_template_refuses_otherwise_is_said_at_once():
    class Refusing(Tokenizer):
        def encode_chat(self, messages, *, work=WORK):
            self.asked.append(work)
            raise Refusal("template.refused", "no")

    tokenizer = Refusing()
    with pytest.raises(Refusal) as caught:
        asyncio.run(ChatShelf().encode_chat(tokenizer, (("user", "hello"),)))
    assert caught.value.code == "template.refused"
    assert len(tokenizer.asked) == 1
