"""The oracle of exact functions: MPFR, cut toward zero far beyond the format, then rounded.

Independent of the code under test but for the last step, which `test_rounding` checks by itself.
"""

import random

import gmpy2

from probatum.canon.arith.formats import decode, inf, nan, one, zero
from probatum.canon.arith.rounding import round_dyadic

FUNCTIONS = {
    "exp": gmpy2.exp,
    "log": gmpy2.log,
    "erf": gmpy2.erf,
    "tanh": gmpy2.tanh,
    "sigmoid": lambda x: 1 / (1 + gmpy2.exp(-x)),
    "sin": gmpy2.sin,
    "cos": gmpy2.cos,
}
RANGE = {"emin": gmpy2.get_emin_min(), "emax": gmpy2.get_emax_max()}


def read(fmt, bits):
    number = decode(fmt, bits)
    match number.kind:
        case "nan":
            return gmpy2.nan()
        case "inf":
            return gmpy2.inf(-1 if number.negative else 1)
        case "zero":
            return gmpy2.zero(-1 if number.negative else 1)
    with gmpy2.context(precision=64, **RANGE):
        value = gmpy2.mpfr(number.signed)
        move = gmpy2.mul_2exp if number.exponent >= 0 else gmpy2.div_2exp
        return move(value, abs(number.exponent))


def compute(fmt, function, *arguments, precision=1200):
    """Compute a function of elements' bits, correctly rounded."""
    values = [read(fmt, bits) for bits in arguments]
    with gmpy2.context(precision=precision, round=gmpy2.RoundToZero, **RANGE) as context:
        context.clear_flags()
        result = function(*values)
        cut = context.inexact
    return round_to(fmt, result, cut=cut)


def round_to(fmt, result, *, cut=False):
    """Round a number of MPFR's, of which something beyond its last bit may have been cut."""
    if gmpy2.is_nan(result):
        return nan(fmt)
    if gmpy2.is_infinite(result):
        return inf(fmt, result < 0)
    if gmpy2.is_zero(result):
        return zero(fmt, gmpy2.is_signed(result))
    mantissa, exponent = (int(part) for part in result.as_mantissa_exp())
    # What was cut lies beyond all these bits: one more bit says that there was something.
    shift = result.precision + 8 - mantissa.bit_length()
    sticky = (abs(mantissa) << shift) | cut
    return round_dyadic(fmt, -sticky if mantissa < 0 else sticky, exponent - shift)


def sample(fmt, count, seed):
    """Yield elements of all kinds: any bits, ordinary sizes, neighbours of 0, 1 and the limits."""
    chance = random.Random(f"{fmt.name} {seed}")
    unit, field = one(fmt), 1 << (fmt.precision - 1)
    edges = [0, 1, 2, 3, field - 1, field, field + 1, unit - 1, unit, unit + 1, 0x600]
    edges += [fmt.infinity - 2, fmt.infinity - 1, fmt.infinity, nan(fmt), fmt.infinity + 1]
    for bits in edges:
        yield bits
        yield bits | fmt.sign_bit
    for number in range(count - 2 * len(edges)):
        match number % 4:
            case 0:
                yield chance.getrandbits(fmt.width)
            case 1:  # around where a result turns into 1, x or its neighbour
                lead = chance.choice([1, 2]) * (fmt.precision + chance.randrange(-4, 5)) // 2
                bits = round_dyadic(fmt, 1, -lead) + chance.randrange(-2, 3)
                yield bits ^ chance.choice([0, fmt.sign_bit])
            case _:
                bits = unit + chance.randrange(-12 * field, 8 * field)
                yield bits % fmt.infinity ^ chance.choice([0, fmt.sign_bit])
