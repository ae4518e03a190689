"""An oracle of its own: numbers as fractions, one rounding by `round(Fraction)`."""

import math
import struct
from fractions import Fraction

# name: bits, precision, least exponent, greatest exponent
FORMATS = {
    "float16": (16, 11, -24, 15),
    "bfloat16": (16, 8, -133, 127),
    "float32": (32, 24, -149, 127),
    "float64": (64, 53, -1074, 1023),
}
NAN = {
    "float16": 0x7E00,
    "bfloat16": 0x7FC0,
    "float32": 0x7FC00000,
    "float64": 0x7FF8000000000000,
}


def read(dtype, bits):
    """A Python float with the element's value, NaN and infinities included."""
    if dtype == "bfloat16":
        return struct.unpack("<f", struct.pack("<I", bits << 16))[0]
    code, kind = {"float16": "He", "float32": "If", "float64": "Qd"}[dtype]
    return struct.unpack(f"<{kind}", struct.pack(f"<{code}", bits))[0]


def write(dtype, value):
    """Bits of a float that the format holds exactly."""
    if math.isnan(value):
        return NAN[dtype]
    if dtype == "bfloat16":
        return struct.unpack("<I", struct.pack("<f", value))[0] >> 16
    code, kind = {"float16": "He", "float32": "If", "float64": "Qd"}[dtype]
    return struct.unpack(f"<{code}", struct.pack(f"<{kind}", value))[0]


def round_once(dtype, value: Fraction, *, negative_zero=False):
    """Bits of a fraction, rounded to nearest even; exact zero is +0 unless asked."""
    width, precision, least, greatest = FORMATS[dtype]
    if value == 0:
        return 1 << (width - 1) if negative_zero else 0
    magnitude = abs(value)
    lead = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    lead -= Fraction(2) ** lead > magnitude
    quantum = Fraction(2) ** max(lead - precision + 1, least)
    rounded = round(magnitude / quantum) * quantum
    if rounded >= Fraction(2) ** (greatest + 1):
        return write(dtype, -math.inf if value < 0 else math.inf)
    return write(dtype, -float(rounded) if value < 0 else float(rounded))


def sum_once(dtype, terms, count=1):
    """Bits of a sum of floats or of products (pairs), divided by a count, rounded once."""
    total, infinities = Fraction(0), set()
    for term in terms:
        factors = term if isinstance(term, tuple) else (term, 1.0)
        if any(math.isnan(factor) for factor in factors):
            return NAN[dtype]
        if any(math.isinf(factor) for factor in factors):
            if 0 in factors:
                return NAN[dtype]
            infinities.add(math.copysign(1, factors[0]) * math.copysign(1, factors[1]))
        else:
            total += Fraction(factors[0]) * Fraction(factors[1])
    if infinities:
        return write(dtype, math.inf * infinities.pop()) if len(infinities) == 1 else NAN[dtype]
    return round_once(dtype, total / count)
