"""Keys bind what a tensor is; roots are one library call (`CANON-5`, `SALT-1`)."""

from blake3 import blake3

from probatum.canon.trace import roots
from probatum.protocol.tensors import Tensor, compute_tensor_root, derive_tensor_key

SALT = bytes(range(32))


def test_every_part_of_a_key_counts():
    base = (SALT, "float32", (2, 3), 7)
    others = [
        (bytes(32), "float32", (2, 3), 7),
        (SALT, "int32", (2, 3), 7),
        (SALT, "float32", (3, 2), 7),
        (SALT, "float32", (6,), 7),
        (SALT, "float32", (2, 3, 1), 7),
        (SALT, "float32", (2, 3), 8),
    ]
    keys = {roots.derive_entry_key(*one) for one in (base, *others)}
    keys |= {roots.derive_weight_key("float32", (2, 3)), roots.derive_weight_key("float32", (6,))}
    keys |= {roots.derive_trace_key(SALT), roots.derive_trace_key(bytes(32))}
    keys |= {derive_tensor_key(SALT, "float32", (2, 3), "7")}
    assert len(keys) == len(others) + 6
    assert {len(key) for key in keys} == {32}


def test_outputs_have_the_root_that_the_receipt_states():
    types = (("float32", (2,)), ("float32", (2,)))
    inner, outer = roots.derive_entry_keys(SALT, types, {1: "logits"})
    assert inner == roots.derive_entry_key(SALT, "float32", (2,), 0)
    data = bytes(range(8))
    tensor = Tensor(name="logits", dtype="float32", shape=(2,), data=data)
    assert roots.compute_keyed_root(outer, data) == compute_tensor_root(SALT, tensor)


def test_weights_have_one_root_wherever_they_are():
    data = memoryview(bytes(5000))
    root = roots.compute_weight_root("uint8", (5000,), data)
    assert root == roots.compute_weight_root("uint8", (5000,), bytes(5000))
    assert root != roots.compute_weight_root("uint8", (50, 100), data)


def test_a_trace_is_hashed_like_a_tensor():
    listed = [bytes([number]) * 32 for number in range(40)]
    want = blake3(b"".join(listed), key=roots.derive_trace_key(SALT)).digest()
    assert roots.compute_trace_root(SALT, listed) == want
    assert roots.compute_trace_root(SALT, reversed(listed)) != want
    assert roots.compute_trace_root(SALT, []) == blake3(key=roots.derive_trace_key(SALT)).digest()
