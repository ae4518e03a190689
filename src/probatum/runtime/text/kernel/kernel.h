/* What the pages of the kernel share: vectors, exact sums, the rounding of a sum, threads.
 *
 * A sum is right if its bound says so, else it is taken again as a sum of two float64 and what is
 * missing (Ogita, Rump, Oishi, SISC 26, 2005), else the caller is told: docs/spec/evaluation.md.
 * Products of two float32 are exact in float64, so it does not matter which of them are fused. */
#ifndef PROBATUM_KERNEL_H
#define PROBATUM_KERNEL_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define LANES 8
#elif defined(__AVX2__)
#define LANES 4
#else
#define LANES 2
#endif

typedef double vdouble __attribute__((vector_size(8 * LANES)));
typedef int64_t vlong __attribute__((vector_size(8 * LANES)));
typedef float vfloat __attribute__((vector_size(4 * LANES)));
typedef float vfloat_at __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef double vdouble_at __attribute__((vector_size(8 * LANES), aligned(8), may_alias));

#define UNIT 0x1p-53
/* A test doubts everything, so that whoever calls settles all of it. */
#ifndef DOUBT
#define DOUBT 1
#endif
#define INFLATE (DOUBT * (1 + 0x1p-16))
#define EXPORT __attribute__((visibility("default")))

/* Compilers make four instructions of a conversion for which the processor has one. */
static inline vdouble widen(vfloat x) {
#if LANES == 8
    return (vdouble)_mm512_cvtps_pd((__m256)x);
#elif LANES == 4
    return (vdouble)_mm256_cvtps_pd((__m128)x);
#else
    return __builtin_convertvector(x, vdouble);
#endif
}

static inline vfloat narrow(vdouble x) {
#if LANES == 8
    return (vfloat)_mm512_cvtpd_ps((__m512d)x);
#elif LANES == 4
    return (vfloat)_mm256_cvtpd_ps((__m256d)x);
#else
    return __builtin_convertvector(x, vfloat);
#endif
}

static inline vdouble load(const float *x) { return widen(*(const vfloat_at *)x); }

static inline vdouble load_double(const double *x) { return *(const vdouble_at *)x; }

static inline double add_lanes(vdouble v) {
    double sum = v[0];
    for (int lane = 1; lane < LANES; lane++) sum += v[lane];
    return sum;
}

static inline uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

/* A sum as total + error, and a bound of what is missing: 0 if nothing is. */
typedef struct {
    double total, error, missing;
} pair_sum;

static inline void add_exactly(pair_sum *sum, double term) {
    double total = sum->total + term, shadow = total - sum->total;
    double lost = (sum->total - (total - shadow)) + (term - shadow);
    double error = sum->error + lost;
    shadow = error - sum->error;
    sum->missing += fabs((sum->error - (error - shadow)) + (lost - shadow));
    sum->total = total;
    sum->error = error;
}

int settle_sum(pair_sum sum, float *out);
int dot_exactly(const float *one, const float *two, long terms, float *out);
int dot_strided(const float *one, const float *two, long stride, long terms, float *out);

/* Sum of squares in float64: not finite only where an element is not. */
double sum_squares(const float *x, long count);

/* How a matrix is stored: as float32, or in the blocks that ggml calls so. */
enum { FLOATS, Q4_1, Q8_0 };

/* Rows one after another, and their norms. */
typedef struct {
    int64_t kind;
    const void *data;
    const double *norms;
    int64_t rows, terms;
} matrix;

long count_row_bytes(long kind, long terms);

/* Decode rows that lie one after another; terms is a multiple of 32. */
void decode_rows(long kind, const uint8_t *blocks, long rows, long terms, float *out);

typedef void (*work_fn)(void *argument, long item);
struct pool;
void run_all(struct pool *pool, work_fn work, void *argument, long items);

/* One text's rows: the first, how many, the first's position, addresses of its cache, its room. */
typedef struct {
    int64_t begin, count, position, keys, values, norms, most, room;
} text_part;

/* The steps: pages `products` and `steps` say what they do. */
long probatum_norm(const float *x, const float *weight, float epsilon, long count, long width,
                   float *out, int64_t *undecided);
long probatum_multiply(struct pool *pool, const matrix *m, const float *x, long count, float *out,
                       int32_t *marks, int64_t *undecided, long room, double *scratch);
long probatum_gate(const float *both, long count, long width, float *out, int64_t *undecided,
                   long room);
void probatum_attend(struct pool *pool, float *rows, const text_part *parts, long count,
                     const float *cosines, const float *sines, long queries, long heads, long width,
                     long layer, float scale, float *out, int32_t *marks, int32_t *open);

#endif
