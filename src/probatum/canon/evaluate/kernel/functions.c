/* Functions of one element: the polynomials, reductions and bounds of canon/evaluate/univariate.
 *
 * Each: x[count] float32, out[count], undecided[count] takes the places of what is undecided;
 * returns how many. NaN gives the canonical NaN, decided. */
#include "kernel.h"

#define EXP_ERROR 0x1p-45
#define SIGMOID_ERROR 0x1p-44
#define TANH_ERROR 0x1p-43
#define ERF_ERROR 0x1p-46
#define LOG_ERROR 0x1p-47

#define SHIFTER 0x1.8p52
#define ONE_BITS 0x3FF0000000000000
#define SIGN_BIT INT64_MIN

INLINE vdouble clamp(vdouble x, double most) {
    x = choose(x > most, spread(most), x);
    return choose(x < -most, spread(-most), x);
}

/* x = k ln 2 + r: r takes x's place, k << 52 comes back; even is r coth(r/2). */
INLINE vlong reduce(vdouble *x, vdouble *even) {
    vdouble power = *x * 0x1.71547652b82fep+0 + SHIFTER;
    vdouble r = *x - (power - SHIFTER) * 0x1.62e42fefa39efp-1, square = r * r;
    vdouble sum = square * -0x1.b87ceb62d7eecp-20 + 0x1.156542f1069d1p-14;
    sum = sum * square + -0x1.6c16c0f03b9eep-9;
    sum = sum * square + 0x1.555555554de4ap-3;
    *even = sum * square + 0x1.0000000000005p+1;
    *x = r;
    return (vlong)power << 52;
}

INLINE vdouble compute_exp(vdouble x) {
    vdouble even;
    x = clamp(x, 127.0);
    vlong power = reduce(&x, &even);
    return (vdouble)((vlong)((even + x) / (even - x)) + power);
}

/* (R - r)/((R - r) + 2^k (R + r)) of -x: one division, nothing cancels. */
INLINE vdouble compute_sigmoid(vdouble x) {
    vdouble even;
    x = clamp(-x, 127.0);
    vlong power = reduce(&x, &even);
    vdouble below = even - x, above = (vdouble)((vlong)(even + x) + power);
    return below / (below + above);
}

INLINE vdouble compute_tanh(vdouble x) {
    vdouble even, twice = clamp(x, 20.0) * 2.0;
    vdouble scale = (vdouble)(reduce(&twice, &even) + ONE_BITS);
    vdouble less = scale - 1.0, more = scale + 1.0;
    vdouble value = (less * even + more * twice) / (more * even + less * twice);
    return (vdouble)(((vlong)value & ~SIGN_BIT) | ((vlong)x & SIGN_BIT));
}

INLINE vdouble compute_erf(vdouble x) {
    x = clamp(x, 4.0);
    vdouble t = x * x;
    vdouble above = t * 0x1.700de134d01a7p-39 + 0x1.1565a6ccc0937p-30;
    vdouble below = t * 0x1.57b971909ad3ap-34 + 0x1.0fbd7e57d9294p-27;
    above = above * t + 0x1.b1475703cbe97p-25;
    below = below * t + 0x1.5c2637ba33fa3p-22;
    above = above * t + 0x1.f50136dc3486ap-20;
    below = below * t + 0x1.186bfb7daba2ep-17;
    above = above * t + 0x1.192b20f6247bfp-15;
    below = below * t + 0x1.3d37cdfe04b88p-13;
    above = above * t + 0x1.4e00b4407d973p-11;
    below = below * t + 0x1.04bb09afc6aa8p-9;
    above = above * t + 0x1.6623885115a3ap-8;
    below = below * t + 0x1.35b7743321755p-6;
    above = above * t + 0x1.f028249c762cbp-5;
    below = below * t + 0x1.fdc41a375ae81p-4;
    above = above * t + 0x1.9daa6ecc370e1p-3;
    below = below * t + 0x1.06512d63362d7p-1;
    above = above * t + 0x1.20dd750429b67p+0;
    below = below * t + 1.0;
    return above * x / below;
}

INLINE vdouble compute_log(vdouble x) {
    vlong field = ((vlong)x - 0x3FE6A09E00000000) >> 52;
    x = (vdouble)((vlong)x - (field << 52));
    vdouble s = (x - 1.0) / (x + 1.0), square = s * s;
    vdouble sum = square * 0x1.58e21d4645ed5p-3 + 0x1.73221a188b6e7p-3;
    sum = sum * square + 0x1.c722d52060af6p-3;
    sum = sum * square + 0x1.249240a96b0a6p-2;
    sum = sum * square + 0x1.999999a44dd26p-2;
    sum = sum * square + 0x1.5555555552cd9p-1;
    sum = sum * square + 0x1.0000000000001p+1;
    vdouble exponent = __builtin_convertvector(field, vdouble);
    return sum * s + exponent * 0x1.9ef35793c7673p-41 + exponent * 0x1.62e42fefa2000p-1;
}

/* Round v (1 +- c); what is left open is other than 0. Zero and below, and infinity, are left open
 * where the function claims nothing of them. */
INLINE vfloat round_value(vfloat x, vdouble value, double error, int has_gaps, vint *open) {
    double slack = error * (1 + 0x1p-20) + 4 * UNIT;
    vfloat high = __builtin_convertvector(value * (1 + slack), vfloat);
    vfloat low = __builtin_convertvector(value * (1 - slack), vfloat);
    vint number = x == x, differ = compare_ends(low, high);
    if (has_gaps) differ |= ~((x > 0) & (x < __builtin_inff()));
    *open = differ & number;
    return (vfloat)(((vint)high & number) | (0x7FC00000 & ~number));
}

INLINE long apply(vdouble (*compute)(vdouble), double error, int has_gaps, const float *x,
                  long count, float *out, int64_t *undecided) {
    long found = 0;
    for (long begin = 0; begin < count; begin += BLOCK) {
        long size = count - begin < BLOCK ? count - begin : BLOCK;
        int32_t open[BLOCK];
        vint any = {0}, here;
        for (long at = 0; at < size; at += LANES) {
            vfloat some = {0};
            int is_whole = size - at >= LANES;
            if (is_whole)
                some = *(const vfloat_at *)(x + begin + at);
            else
                memcpy(&some, x + begin + at, 4 * (size_t)(size - at));
            vdouble value = compute(__builtin_convertvector(some, vdouble));
            vfloat rounded = round_value(some, value, error, has_gaps, &here);
            *(vint_at *)(open + at) = here;
            any |= here;
            if (is_whole)
                *(vfloat_at *)(out + begin + at) = rounded;
            else
                memcpy(out + begin + at, &rounded, 4 * (size_t)(size - at));
        }
        if (is_any(any)) found = list_open(open, size, begin, undecided, found);
    }
    return found;
}

#define FUNCTION(name, error, has_gaps)                                                         \
    EXPORT long probatum_##name(const float *x, long count, float *out, int64_t *undecided) {   \
        return apply(compute_##name, error, has_gaps, x, count, out, undecided);                \
    }

FUNCTION(exp, EXP_ERROR, 0)
FUNCTION(sigmoid, SIGMOID_ERROR, 0)
FUNCTION(tanh, TANH_ERROR, 0)
FUNCTION(erf, ERF_ERROR, 0)
FUNCTION(log, LOG_ERROR, 1)

EXPORT int probatum_level(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    int has_three = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("f16c");
    int has_four = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                   __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                   __builtin_cpu_supports("avx512cd");
    return has_three ? has_four ? 4 : 3 : 0;
#else
    return 0;
#endif
}
