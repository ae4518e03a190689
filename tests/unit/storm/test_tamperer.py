"""The tamperer changes one bit of an answer's outputs and nothing else."""

from __future__ import annotations

from probatum.machine.events import Started
from probatum.machine.wishes import Reply, SetTimer
from probatum.protocol.messages import Answered
from probatum.storm import model
from probatum.storm.cast.tamperer import Tamperer
from probatum.storm.trace import Trace
from tests.unit.storm.toys import Toy, answer, on_start

MOMENT = type("M", (), {"now_ms": 0, "entropy": bytes(32)})()


def test_only_answers_are_altered():
    x = model.make_input(b"\x04\x05")
    (y,) = model.compute(model.PACKAGE, (x,))
    assert y.data == b"\x05\x06"
    trace = Trace()
    told = (
        SetTimer("t", 1),
        Reply("c", answer()),
        Reply("c", Answered(receipt=b"r", outputs=(y,))),
    )
    timer, other, altered = Tamperer(Toy(on_start(*told)), trace).step(Started(), MOMENT)
    assert (timer, other) == told[:2]
    assert altered.message.receipt == b"r"
    assert altered.message.outputs[0].data == b"\x04\x06"
    assert trace.counts["answers tampered with"] == 1
