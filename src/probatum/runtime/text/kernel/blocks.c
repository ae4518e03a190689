/* Rows of quantised weights, decoded to the float32 that the format's reference makes of them.
 * Every operation here is rounded on its own: never compile this page with contraction. Who opened
 * the weights has seen that every scale is finite. */
#include "kernel.h"

#define AHEAD 1024

/* A float16 as float32, which is exact. */
static inline float widen_half(const uint8_t *at) {
    uint16_t half;
    memcpy(&half, at, 2);
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, size = half & 0x7fff, bits;
    float small = (float)size * 0x1p-24f;
    bits = size < 0x400 ? bits_of(small) : (size << 13) + (112u << 23);
    bits |= sign;
    memcpy(&small, &bits, 4);
    return small;
}

/* Two bytes of scale, two of offset, 16 bytes of which the low halves come first: d * q + m. */
static void decode_q4_1(const uint8_t *block, long count, float *out) {
#if LANES == 8
    const __m512 steps = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#endif
    for (long one = 0; one < count; one++, block += 20, out += 32) {
        __builtin_prefetch(block + AHEAD);
#if LANES == 8
        /* All values that a block can have fill one register: weights are picked out of it. */
        int32_t both;
        memcpy(&both, block, 4);
        __m128 scales = _mm_cvtph_ps(_mm_cvtsi32_si128(both));
        __m512 values = _mm512_add_ps(_mm512_mul_ps(_mm512_broadcastss_ps(scales), steps),
                                      _mm512_broadcastss_ps(_mm_movehdup_ps(scales)));
        __m512i places = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(block + 4)));
        _mm512_storeu_ps(out, _mm512_permutexvar_ps(places, values));
        _mm512_storeu_ps(out + 16, _mm512_permutexvar_ps(_mm512_srli_epi32(places, 4), values));
#elif LANES == 4
        /* Compilers make sixteen steps of what the loop below says. */
        __m256 scale = _mm256_set1_ps(widen_half(block));
        __m256 offset = _mm256_set1_ps(widen_half(block + 2));
        __m128i bytes = _mm_loadu_si128((const __m128i *)(block + 4)), fifteen = _mm_set1_epi8(15);
        __m128i codes[2] = {_mm_and_si128(bytes, fifteen),
                            _mm_and_si128(_mm_srli_epi16(bytes, 4), fifteen)};
        for (int half = 0; half < 2; half++) {
            __m256i one = _mm256_cvtepu8_epi32(codes[half]);
            __m256i two = _mm256_cvtepu8_epi32(_mm_srli_si128(codes[half], 8));
            __m256 low = _mm256_mul_ps(_mm256_cvtepi32_ps(one), scale);
            __m256 high = _mm256_mul_ps(_mm256_cvtepi32_ps(two), scale);
            _mm256_storeu_ps(out + 16 * half, _mm256_add_ps(low, offset));
            _mm256_storeu_ps(out + 16 * half + 8, _mm256_add_ps(high, offset));
        }
#else
        float scale = widen_half(block), offset = widen_half(block + 2);
        for (int at = 0; at < 16; at++) {
            out[at] = scale * (float)(block[4 + at] & 15) + offset;
            out[16 + at] = scale * (float)(block[4 + at] >> 4) + offset;
        }
#endif
    }
}

/* Two bytes of scale, 32 signed bytes: q * d. */
static void decode_q8_0(const uint8_t *block, long count, float *out) {
    for (long one = 0; one < count; one++, block += 34, out += 32) {
        __builtin_prefetch(block + AHEAD);
        float scale = widen_half(block);
        for (int at = 0; at < 32; at++) out[at] = (float)(int8_t)block[2 + at] * scale;
    }
}

long count_row_bytes(long kind, long terms) { return terms / 32 * (kind == Q4_1 ? 20 : 34); }

void decode_rows(long kind, const uint8_t *blocks, long rows, long terms, float *out) {
    if (kind == Q4_1) decode_q4_1(blocks, rows * (terms / 32), out);
    else decode_q8_0(blocks, rows * (terms / 32), out);
}
