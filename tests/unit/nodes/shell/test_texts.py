import asyncio
import threading
import time

import pytest

from probatum.errors import Fault, Misuse
from probatum.machine.events import Computed, Generated
from probatum.machine.wishes import Curtail, Generate
from probatum.nodes.shell import texts as page
from probatum.nodes.shell.texts import Texts

OUTCOME = ()


class Writer:
    """Writes what a test has it say, on a thread of its own."""

    def __init__(self):
        self.said = {}
        self.cancelled = []

    def write(self, package, tensors, nonce, prefix, more, done, *, top_logprobs=None):
        name = nonce.decode()
        self.said[name] = (more, done)
        writer = self

        class Text:
            def cancel(self):
                writer.cancelled.append(name)

        return Text()


def make_wish(name):
    return Generate(name, bytes(32), (), name.encode(), (), top_logprobs=None)


async def hear(names, speak, *, until):
    """Have a thread speak of texts; the events until there are so many outcomes."""
    writer, events, failed = Writer(), [], []
    done = asyncio.Event()

    def post(event):
        events.append(event)
        if sum(isinstance(one, Computed) for one in events) == until:
            done.set()

    def fail(error):
        failed.append(error)
        done.set()

    texts = Texts(writer, asyncio.get_running_loop(), post, fail)
    for name in names:
        texts.take(make_wish(name))
    assert len(texts) == len(names)
    thread = threading.Thread(target=speak, args=(writer.said,))
    thread.start()
    await asyncio.wait_for(done.wait(), 10)
    await asyncio.to_thread(thread.join)
    return texts, events, failed


def test_tokens_that_come_together_are_one_event_and_the_end_comes_last():
    def speak(said):
        more, done = said["a"]
        for at in range(100):
            more((at,), bytes([at]))
        done(OUTCOME)

    texts, events, _ = asyncio.run(hear(["a"], speak, until=1))
    *runs, last = events
    assert last == Computed("a", OUTCOME)
    assert all(isinstance(run, Generated) for run in runs)
    assert [one for run in runs for one in run.ids] == list(range(100))
    assert b"".join(run.logprobs for run in runs) == bytes(range(100))
    assert len(runs) < 50
    assert len(texts) == 0


def test_texts_are_kept_apart_and_one_that_ended_hears_no_more():
    def speak(said):
        for at in range(20):
            for name in "ab":
                said[name][0]((at, ord(name)))
        said["b"][1](OUTCOME)
        said["a"][0]((20, ord("a")))
        said["a"][1](Fault("text.failed", "no"))

    _, events, _ = asyncio.run(hear(["a", "b"], speak, until=2))
    for name, count in (("a", 21), ("b", 20)):
        own = [event for event in events if event.job == name]
        assert isinstance(own[-1], Computed)
        ids = [one for run in own[:-1] for one in run.ids]
        assert ids == [one for at in range(count) for one in (at, ord(name))]
    assert isinstance(events[-1].outcome, Fault)


def test_a_lone_token_is_told_at_once_and_those_right_after_it_soon(monkeypatch):
    """The first one waits for nobody; the next ones for the pace, not for a text's end."""
    monkeypatch.setattr(page, "PACE_S", 1.0)
    heard = threading.Event()
    times = []

    def speak(said):
        more, done = said["a"]
        times.append(time.monotonic())
        more((1,))
        assert heard.wait(30)
        heard.clear()
        for at in (2, 3, 4):
            more((at,))
        assert heard.wait(30)
        done(OUTCOME)

    async def watch():
        writer, events, ended = Writer(), [], asyncio.Event()

        def post(event):
            events.append((time.monotonic(), event))
            heard.set()
            if isinstance(event, Computed):
                ended.set()

        texts = Texts(writer, asyncio.get_running_loop(), post, pytest.fail)
        texts.take(make_wish("a"))
        thread = threading.Thread(target=speak, args=(writer.said,))
        thread.start()
        await asyncio.wait_for(ended.wait(), 60)
        await asyncio.to_thread(thread.join)
        return events

    (first, one), (second, rest), (_, end) = asyncio.run(watch())
    assert one.ids == (1,)
    assert first - times[0] < 0.9
    assert rest.ids == (2, 3, 4)
    assert second - first >= 0.99
    assert isinstance(end, Computed)


def test_a_bug_of_the_engine_ends_the_process_and_texts_are_cancelled_by_name():
    def speak(said):
        said["a"][1](Misuse("text.wrong-outcome", "a bug"))

    async def run():
        texts, events, failed = await hear(["a", "b"], speak, until=1)
        texts.take(Curtail("b"))
        texts.take(Curtail("nobody"))
        return texts, events, failed

    texts, events, (error,) = asyncio.run(run())
    assert events == []
    assert error.code == "text.wrong-outcome"
    assert texts._writer.cancelled == ["b"]


def test_who_writes_on_after_the_loop_has_ended_is_not_disturbed():
    writer = Writer()

    async def begin():
        texts = Texts(writer, asyncio.get_running_loop(), lambda _: None, pytest.fail)
        texts.take(make_wish("a"))
        return texts

    texts = asyncio.run(begin())
    more, done = writer.said["a"]
    more((1,))
    done(OUTCOME)
    texts.close()
    assert writer.cancelled == ["a"]
