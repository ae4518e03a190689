"""Signatures crafted with plain curve arithmetic, to pin what the one library accepts."""

import hashlib

import pytest

from probatum.errors import Refusal
from probatum.protocol.ed25519 import OperatingSigner, check_signature

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
IDENTITY = (0, 1)


def add(a, b):
    (x1, y1), (x2, y2) = a, b
    cross = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + cross, -1, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - cross, -1, P) % P
    return x, y


def mul(scalar, point):
    result = IDENTITY
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


def lift(y, odd):
    """The point with this y and this parity of x, or None."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P:
        return None
    return (P - x if x % 2 != odd else x) % P, y % P


def pack(point):
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


BASE = lift(4 * pow(5, -1, P) % P, 0)


def torsion():
    """The eight points of small order: multiples of one of order 8."""
    y = 2
    while True:
        point = lift(y, 0)
        if point:
            candidate = mul(L, point)
            if mul(4, candidate) != IDENTITY:
                return [mul(k, candidate) for k in range(8)]
        y += 1


TORSION = torsion()
NON_CANONICAL = [
    (y | sign << 255).to_bytes(32, "little") for y in range(P, 2**255) for sign in (0, 1)
]
SIGNER = OperatingSigner(b"\x07" * 32)


def challenge(r, key, message):
    return int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % L


def refused(key, message, signature):
    with pytest.raises(Refusal) as caught:
        check_signature(key, message, signature)
    return caught.value.code == "ed25519.bad-signature"


def test_rfc8032_vector():
    # RFC 8032, section 7.1, test 2.
    signer = OperatingSigner(
        bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    )
    assert signer.key.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert signer.sign(b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    check_signature(signer.key, b"\x72", signer.sign(b"\x72"))


def test_any_changed_bit_is_refused():
    message = b"message"
    signature = SIGNER.sign(message)
    for bit in range(512):
        changed = bytearray(signature)
        changed[bit // 8] ^= 1 << bit % 8
        assert refused(SIGNER.key, message, bytes(changed))
    assert refused(SIGNER.key, b"another", signature)
    assert refused(OperatingSigner(b"\x08" * 32).key, message, signature)


@pytest.mark.parametrize("length", [0, 63, 65])
def test_wrong_lengths_are_refused(length):
    assert refused(SIGNER.key, b"m", b"\0" * length)
    assert refused(SIGNER.key[:31], b"m", SIGNER.sign(b"m"))


def test_the_other_encoding_of_s_is_refused():
    signature = SIGNER.sign(b"m")
    for times in range(1, 16):
        other = int.from_bytes(signature[32:], "little") + times * L
        if other < 2**256:
            assert refused(SIGNER.key, b"m", signature[:32] + other.to_bytes(32, "little"))


def test_small_order_keys_are_refused():
    # With A of small order and R = S·B, the equation holds for every message with 8 | h.
    for point in TORSION:
        key = pack(point)
        r = pack(mul(5, BASE))
        message = next(
            m for m in (n.to_bytes(2, "big") for n in range(1000)) if challenge(r, key, m) % 8 == 0
        )
        assert refused(key, message, r + (5).to_bytes(32, "little"))


def test_small_order_r_is_refused():
    # R = k·torsion, S = h·a: the equation holds where the cofactor is multiplied in.
    secret = int.from_bytes(hashlib.sha512(b"secret").digest(), "little") % L
    key = pack(mul(secret, BASE))
    for point in TORSION:
        r = pack(point)
        s = challenge(r, key, b"m") * secret % L
        assert refused(key, b"m", r + s.to_bytes(32, "little"))


def test_non_canonical_points_are_refused():
    signature = SIGNER.sign(b"m")
    for encoded in NON_CANONICAL:
        assert refused(encoded, b"m", signature)
        assert refused(SIGNER.key, b"m", encoded + signature[32:])


def test_a_point_off_the_curve_is_refused():
    off = next(y for y in range(2, 100) if lift(y, 0) is None).to_bytes(32, "little")
    assert refused(off, b"m", SIGNER.sign(b"m"))
    assert refused(SIGNER.key, b"m", off + SIGNER.sign(b"m")[32:])


def test_crafting_makes_good_signatures_too():
    """The crafted cases above are refused for what is wrong with them, not for the crafting."""
    secret = int.from_bytes(hashlib.sha512(b"secret").digest(), "little") % L
    key, r = pack(mul(secret, BASE)), pack(mul(99, BASE))
    s = (99 + challenge(r, key, b"m") * secret) % L
    check_signature(key, b"m", r + s.to_bytes(32, "little"))


def test_mixed_order_r_is_decided_as_pinned():
    """R with a small-order part: only the key's owner can make one; see the module's docstring."""
    secret = int.from_bytes(hashlib.sha512(b"secret").digest(), "little") % L
    key = pack(mul(secret, BASE))
    outcomes = []
    for point in TORSION[1:]:
        r = pack(add(mul(99, BASE), point))
        s = (99 + challenge(r, key, b"m") * secret) % L
        try:
            check_signature(key, b"m", r + s.to_bytes(32, "little"))
        except Refusal:
            outcomes.append(False)
        else:
            outcomes.append(True)
    assert outcomes == [False] * 7


def test_the_secret_is_not_shown():
    signer = OperatingSigner(seed=bytes(range(32)))
    assert signer.key.hex() not in repr(bytes(range(32)))
    for shown in (repr(signer), str(signer)):
        assert repr(bytes(range(32)))[2:-1] not in shown
        assert bytes(range(32)).hex() not in shown
    assert not hasattr(signer, "__dict__")


def test_a_bad_seed_is_refused():
    with pytest.raises(Refusal) as caught:
        OperatingSigner(b"short")
    assert caught.value.code == "ed25519.bad-seed"
