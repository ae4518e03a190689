"""The engine's own rule for Ed25519 (ZIP-215), for the votes that our strict rule refuses.

Only the owner of a key can make signatures on which the two differ, and a validator may: the engine
counts such a vote, and a proposer may keep just as many others as two thirds need, for ever. So a
light client that counts fewer votes than the engine could be made to refuse what was decided.

Against `probatum.protocol.ed25519` it takes: points in encodings that are not canonical, points of
small order, and equality up to the cofactor. Not constant in time: nothing here is secret. Must not
know votes.
"""

from __future__ import annotations

import hashlib
from typing import Final, TypeAlias

__all__ = ["is_signature"]

_Point: TypeAlias = tuple[int, int, int, int]
"""X, Y, Z, T of extended coordinates: x = X/Z, y = Y/Z, xy = T/Z (RFC 8032, 5.1.4)."""

_P: Final = 2**255 - 19
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, _P) % _P
_ROOT: Final = pow(2, (_P - 1) // 4, _P)
"""A square root of -1."""
_NEUTRAL: Final[_Point] = (0, 1, 1, 0)
_WINDOW: Final = 4


def is_signature(key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether CometBFT takes a signature: 8·S·B = 8·R + 8·k·A, and S below the order."""
    if len(key) != 32 or len(signature) != 64:
        return False
    of_key, of_nonce = _decode(key), _decode(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if of_key is None or of_nonce is None or scalar >= _ORDER:
        return False
    hashed = hashlib.sha512(signature[:32] + key + message).digest()
    k = int.from_bytes(hashed, "little") % _ORDER
    left = _add_multiples(scalar, _BASE, k, _negate(of_key))
    x, y, z, _ = _double(_double(_double(_add(left, _negate(of_nonce)))))
    return x == 0 and y == z


def _decode(encoded: bytes) -> _Point | None:
    """Decode a point: any y below 2**255, and either sign of x = 0."""
    number = int.from_bytes(encoded, "little")
    y, sign = (number & ((1 << 255) - 1)) % _P, number >> 255
    u, v = (y * y - 1) % _P, (_D * y * y + 1) % _P
    x = u * pow(v, 3, _P) * pow(u * pow(v, 7, _P), (_P - 5) // 8, _P) % _P
    if v * x * x % _P != u:
        x = x * _ROOT % _P
        if v * x * x % _P != u:
            return None
    if x & 1 != sign:
        x = -x % _P
    return x, y, 1, x * y % _P


def _negate(point: _Point) -> _Point:
    x, y, z, t = point
    return -x % _P, y, z, -t % _P


def _add(one: _Point, other: _Point) -> _Point:
    a = (one[1] - one[0]) * (other[1] - other[0]) % _P
    b = (one[1] + one[0]) * (other[1] + other[0]) % _P
    c = 2 * one[3] * other[3] * _D % _P
    d = 2 * one[2] * other[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _double(point: _Point) -> _Point:
    x, y, z, _ = point
    a, b, c = x * x % _P, y * y % _P, 2 * z * z % _P
    h = a + b
    e, g = h - (x + y) * (x + y) % _P, a - b
    f = c + g
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _list_multiples(point: _Point) -> list[_Point]:
    found = [_NEUTRAL]
    for _ in range((1 << _WINDOW) - 1):
        found.append(_add(found[-1], point))
    return found


def _add_multiples(first: int, one: _Point, second: int, other: _Point) -> _Point:
    """Compute first·one + second·other, both digits by digits of four bits."""
    ones, others = _list_multiples(one), _list_multiples(other)
    total = _NEUTRAL
    for shift in range(256 - _WINDOW, -_WINDOW, -_WINDOW):
        for _ in range(_WINDOW):
            total = _double(total)
        total = _add(total, ones[first >> shift & 15])
        total = _add(total, others[second >> shift & 15])
    return total


def _make_base() -> _Point:
    base = _decode((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))
    assert base is not None, "4/5 is on the curve"
    return base


_BASE: Final = _make_base()
