"""The recorder: acceptances wait for answers of quick models, everything else for nothing."""

import asyncio

import pytest

from probatum.nodes.shell import recording
from probatum.nodes.shell.recording import Recorder


class Sink:
    def __init__(self):
        self.groups = []

    def append(self, records):
        self.groups.append(records)

    def is_brief(self, size_bytes):
        return True


def record(monkeypatch, during, *, quick_s=60.0):
    """Let something happen to a recorder whose last job took no time; return its sink."""
    monkeypatch.setattr(recording, "QUICK_S", quick_s)
    sink = Sink()

    async def live():
        recorder = Recorder(
            sink, done=lambda _: None, failed=lambda error: None, is_crowded=lambda: False
        )
        recorder.begin_job("earlier")
        recorder.end_job("earlier", answered=True)
        assert recorder.is_quick
        await during(recorder, sink)
        recorder.close()

    asyncio.run(live())
    return sink


async def idle(recorder):
    async with asyncio.timeout(5):
        while not recorder.is_idle:  # noqa: ASYNC110 - a recorder tells nobody that it is idle
            await asyncio.sleep(0.001)


def accept(recorder, job):
    recorder.add(f"accept-{job}", (b"accept " + job.encode(),))
    recorder.begin_job(job)
    recorder.kick()


def test_acceptances_wait_for_the_first_answer_and_it_waits_for_no_other(monkeypatch):
    async def during(recorder, sink):
        accept(recorder, "a")
        accept(recorder, "b")
        await asyncio.sleep(0.01)
        assert sink.groups == []
        recorder.end_job("b", answered=True)
        recorder.add("answer-b", (b"answer b",))
        recorder.kick()
        async with asyncio.timeout(5):
            while not sink.groups:  # noqa: ASYNC110 - a sink tells nobody
                await asyncio.sleep(0.001)
        recorder.end_job("a", answered=True)
        await idle(recorder)

    assert record(monkeypatch, during).groups == [(b"accept a", b"accept b", b"answer b")]


@pytest.mark.parametrize("ticket", ["accept-text", "prefix-text", "answer-text"])
def test_what_a_text_brings_waits_for_no_quick_model_beside_it(monkeypatch, ticket):
    async def during(recorder, sink):
        accept(recorder, "a")
        accept(recorder, "b")
        recorder.kick()
        assert sink.groups == []
        recorder.add(ticket, (ticket.encode(),))  # as many as jobs, or fewer, if those are told
        recorder.kick()
        async with asyncio.timeout(5):
            while not sink.groups:  # noqa: ASYNC110 - a sink tells nobody
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)  # both acceptances are told, and their jobs still run
        recorder.add(f"{ticket} again", (b"again",))
        recorder.kick()
        async with asyncio.timeout(5):
            while len(sink.groups) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    groups = record(monkeypatch, during).groups
    assert groups == [(b"accept a", b"accept b", ticket.encode()), (b"again",)]


def test_a_job_without_an_acceptance_makes_nothing_wait(monkeypatch):
    async def during(recorder, sink):
        recorder.add("other", (b"other",))
        recorder.kick()
        async with asyncio.timeout(5):
            while not recorder.is_idle:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        recorder.begin_job("a trial")
        recorder.add("another", (b"another",))
        recorder.kick()
        async with asyncio.timeout(5):
            while len(sink.groups) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    record(monkeypatch, during)


def test_an_acceptance_waits_no_longer_than_a_quick_model_takes(monkeypatch):
    async def during(recorder, sink):
        accept(recorder, "a")
        await asyncio.sleep(0.2)
        assert sink.groups == [(b"accept a",)]

    record(monkeypatch, during, quick_s=0.05)


def test_where_models_are_slow_or_fail_an_acceptance_waits_for_nothing(monkeypatch):
    async def during(recorder, sink):
        recorder.begin_job("slow")
        await asyncio.sleep(0.5)
        recorder.end_job("slow", answered=True)
        recorder.begin_job("refused")
        recorder.end_job("refused", answered=False)
        recorder.end_job("never begun", answered=True)
        assert not recorder.is_quick
        accept(recorder, "a")
        async with asyncio.timeout(5):
            while not sink.groups:  # noqa: ASYNC110 - a sink tells nobody
                await asyncio.sleep(0.001)

    record(monkeypatch, during, quick_s=0.02)
