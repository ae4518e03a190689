/* What the pages of the kernel share: vectors, and the list of what is undecided.
 *
 * float64 that only approximates may be fused: docs/spec/evaluation.md says why every bound still
 * holds. Nothing here sets the processor's modes. */
#ifndef PROBATUM_EVALUATE_KERNEL_H
#define PROBATUM_EVALUATE_KERNEL_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 8
#elif defined(__AVX2__)
#define LANES 4
#else
#define LANES 2
/* Round a row within bound * norms[column]; the places of the undecided, from `first` on, follow
 * the `found` ones. Returns how many there are then. */
__attribute__((visibility("hidden"))) long round_row(const double *value, double bound,
                                                     const double *norms, long columns, float *out,
                                                     int64_t first, int64_t *undecided,
                                                     long found);

#endif

typedef double vdouble __attribute__((vector_size(8 * LANES)));
typedef int64_t vlong __attribute__((vector_size(8 * LANES)));
typedef float vfloat __attribute__((vector_size(4 * LANES)));
typedef int32_t vint __attribute__((vector_size(4 * LANES)));
typedef float vfloat_at __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t vint_at __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef double vdouble_at __attribute__((vector_size(8 * LANES), aligned(8), may_alias));

#define UNIT 0x1p-53
#define EXPORT __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))

/* Elements whose open bits are looked at together; a multiple of all numbers of lanes. */
#define BLOCK 256

INLINE vdouble load(const float *x) {
    return __builtin_convertvector(*(const vfloat_at *)x, vdouble);
}

INLINE vdouble load_double(const double *x) { return *(const vdouble_at *)x; }

INLINE vdouble spread(double x) { return (vdouble){0} + x; }

INLINE vdouble choose(vlong which, vdouble one, vdouble two) {
    return (vdouble)(((vlong)one & which) | ((vlong)two & ~which));
}

/* Bits in which the ends of an interval differ, once rounded. */
INLINE vint compare_ends(vfloat low, vfloat high) { return (vint)low ^ (vint)high; }

INLINE int is_any(vint open) {
    int32_t any = 0;
    for (int lane = 0; lane < LANES; lane++) any |= open[lane];
    return any != 0;
}

/* Append the places, from `first` on, of what is open among `count`; returns how many there are. */
static inline long list_open(const int32_t *open, long count, int64_t first, int64_t *undecided,
                             long found) {
    for (long at = 0; at < count; at++)
        if (open[at]) undecided[found++] = first + at;
    return found;
}

/* Round a row within bound * norms[column]; the places of the undecided, from `first` on, follow
 * the `found` ones. Returns how many there are then. */
__attribute__((visibility("hidden"))) long round_row(const double *value, double bound,
                                                     const double *norms, long columns, float *out,
                                                     int64_t first, int64_t *undecided,
                                                     long found);

#endif
