import pytest
from blake3 import blake3

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.encoding import decode, encode
from probatum.protocol.hashing import hash_tagged
from probatum.protocol.primitives import make_salt
from probatum.protocol.tensors import (
    DTYPES,
    Tensor,
    check_tensor,
    compute_salt_commitment,
    compute_tensor_root,
    derive_tensor_key,
    make_tensor_head,
)

SALT = make_salt(b"\x05" * 32)


def tensor(**changes):
    fields = {"name": "x", "dtype": "float32", "shape": (2, 3), "data": bytes(24)} | changes
    return Tensor(**fields)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"shape": (), "data": bytes(4)},
        {"shape": (0, 7), "data": b""},
        {"dtype": "bool", "data": b"\0\1\0\1\0\1"},
        {"dtype": "int64", "shape": (3,)},
        {"shape": (1,) * 8, "data": bytes(4)},
    ],
)
def test_good_tensors_pass_and_travel(changes):
    good = tensor(**changes)
    check_tensor(good)
    assert decode(Tensor, encode(good), limit_bytes=1000) == good


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"name": ""}, "tensor.bad-name"),
        ({"name": "n" * 129}, "tensor.bad-name"),
        ({"dtype": "complex64"}, "tensor.bad-dtype"),
        ({"shape": (1,) * 9, "data": bytes(4)}, "tensor.bad-shape"),
        ({"shape": (-2, -3)}, "tensor.bad-shape"),
        ({"shape": (1 << 63,)}, "tensor.bad-shape"),
        ({"shape": (1 << 40, 1 << 40)}, "tensor.too-large"),
        ({"data": bytes(23)}, "tensor.bad-length"),
        ({"data": bytes(25)}, "tensor.bad-length"),
        ({"shape": (0, 1 << 62)}, "tensor.bad-length"),
        ({"dtype": "bool", "data": b"\0\1\0\1\0\2"}, "tensor.bad-bool"),
    ],
)
def test_bad_tensors_are_refused(changes, code):
    with pytest.raises(Refusal) as caught:
        check_tensor(tensor(**changes))
    assert caught.value.code == code


def test_the_decoder_bounds_rank_and_names():
    for bad in (tensor(shape=(1,) * 9), tensor(name="n" * 129), tensor(dtype="f")):
        with pytest.raises(Refusal) as caught:
            decode(Tensor, encode(bad), limit_bytes=1000)
        assert caught.value.code == "encoding.malformed"


def test_the_largest_tensor_is_taken():
    check_tensor(tensor(shape=(limits.TENSOR_BYTES // 4,), data=bytes(limits.TENSOR_BYTES)))


def test_root_is_keyed_blake3_as_written():
    """CANON-5, SALT-1: the key's preimage, spelled out."""
    value = tensor(name="é", shape=(3, 2))
    dims = b"\x02" + b"\x03" + bytes(7) + b"\x02" + bytes(7)
    key = hash_tagged("probatum/tensor-key/1", SALT, b"float32", dims, "é".encode())
    assert derive_tensor_key(SALT, "float32", (3, 2), "é") == key
    assert compute_tensor_root(SALT, value) == blake3(bytes(24), key=key).digest()
    assert compute_salt_commitment(SALT) == hash_tagged("probatum/salt-commitment/1", SALT)


def test_root_binds_everything():
    other_salt = make_salt(b"\x06" * 32)
    roots = {
        compute_tensor_root(SALT, tensor()),
        compute_tensor_root(other_salt, tensor()),
        compute_tensor_root(SALT, tensor(name="y")),
        compute_tensor_root(SALT, tensor(dtype="int32")),
        compute_tensor_root(SALT, tensor(shape=(3, 2))),
        compute_tensor_root(SALT, tensor(shape=(6,))),
        compute_tensor_root(SALT, tensor(data=bytes(23) + b"\1")),
    }
    assert len(roots) == 7


def test_head_states_what_the_receipt_needs():
    head = make_tensor_head(SALT, tensor())
    assert (head.name, head.dtype, head.shape) == ("x", "float32", (2, 3))
    assert head.root == compute_tensor_root(SALT, tensor()).hex()


def test_the_table_has_every_dtype_once():
    assert len({traits.oip_name for traits in DTYPES.values()}) == len(DTYPES) == 12
