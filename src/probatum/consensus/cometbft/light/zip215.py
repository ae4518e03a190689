"""The engine's own rule for Ed25519 (ZIP-215), for the votes that our strict rule refuses.

Only the owner of a key can make signatures on which the two differ, and a validator may: the engine
counts such a vote, and a proposer may keep just as many others as two thirds need, for ever. So a
light client that counts fewer votes than the engine could be made to refuse what was decided.

Against `probatum.protocol.ed25519` it takes: points in encodings that are not canonical, points of
small order, and equality up to the cofactor. Points are taken eight times first, which leaves
nothing of small order but the neutral one, so libsodium can go on with them. Must not know votes.
"""

from __future__ import annotations

import hashlib
from typing import Final

from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_scalarmult_ed25519_noclamp,
)
from nacl.exceptions import RuntimeError as SodiumError

__all__ = ["is_signature"]

_FIELD_PRIME: Final = 2**255 - 19
_Y_MASK: Final = 2**255 - 1
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_NEUTRAL: Final = (1).to_bytes(32, "little")


def is_signature(key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether CometBFT takes a signature: 8·S·B = 8·R + 8·k·A, and S below the order."""
    if len(key) != 32 or len(signature) != 64:
        return False
    scalar = int.from_bytes(signature[32:], "little")
    if scalar >= _ORDER:
        return False
    try:
        of_key, of_nonce = _take_eight_times(key), _take_eight_times(signature[:32])
    except SodiumError:
        return False  # no point of the curve
    hashed = hashlib.sha512(signature[:32] + key + message).digest()
    k = int.from_bytes(hashed, "little") % _ORDER
    left = _NEUTRAL
    if scalar:
        left = crypto_scalarmult_ed25519_base_noclamp(_encode(8 * scalar % _ORDER))
    right = of_nonce
    if k and of_key != _NEUTRAL:
        multiple = crypto_scalarmult_ed25519_noclamp(_encode(k), of_key)
        right = crypto_core_ed25519_add(of_nonce, multiple)
    return left == right


def _encode(number: int) -> bytes:
    return number.to_bytes(32, "little")


def _take_eight_times(encoded: bytes) -> bytes:
    """Take a point eight times; its y may be any below 2**255, and x = 0 have either sign.

    Raises:
        SodiumError: if it is none.
    """
    number = int.from_bytes(encoded, "little")
    y, sign = (number & _Y_MASK) % _FIELD_PRIME, number >> 255
    point = _encode(y | sign << 255)
    for _ in range(3):
        point = crypto_core_ed25519_add(point, point)
    return point
