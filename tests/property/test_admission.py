"""Whatever the bytes, admission answers with reasons and raises nothing (PUB-1)."""

from __future__ import annotations

import onnx
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from probatum.errors import Refusal
from probatum.runtime.admission.judge import list_reasons
from tests.corpus import hostile
from tests.corpus.hostile import HOSTILE

SMALL = {
    name: data
    for name, each in sorted(HOSTILE.items())
    if not name.startswith(("hundred", "too-many", "millions", "metadata"))
    and len(data := each.make()) < 20_000
}
RIGHT = hostile.dump(
    hostile.model([hostile.node("Add", ("x", "w"))], weights=[hostile.weight([1.0, 2.0, 3.0])])
)


@given(st.binary(max_size=300))
def test_noise_has_reasons(data):
    assert all(isinstance(reason, Refusal) for reason in list_reasons(data))
    assert list_reasons(data) != ()


@given(st.sampled_from(sorted(SMALL)), st.data())
@settings(deadline=None)
def test_changed_files_are_judged(name, data):
    changed = bytearray(SMALL[name] or b"\x00")
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    assert all(isinstance(reason, Refusal) for reason in list_reasons(bytes(changed)))


@given(st.integers(0, len(RIGHT) - 1), st.integers(0, 255))
@settings(max_examples=500)
def test_what_passes_is_a_file_that_onnx_reads_too(at, byte):
    """Nothing is admitted that another reader of protobuf cannot even take apart."""
    changed = bytearray(RIGHT)
    changed[at] = byte
    if list_reasons(bytes(changed)) == ():
        try:
            onnx.load_model_from_string(bytes(changed))
        except DecodeError as error:
            raise AssertionError("admitted, and no ONNX reader takes it") from error
