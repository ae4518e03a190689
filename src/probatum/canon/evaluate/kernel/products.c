/* Products of float32 matrices in float64, rounded while they are in the cache.
 *
 * Left lies in panels[rows / TALL][terms][TALL] of float64, right in panels[columns / WIDE][terms]
 * [WIDE] of float32, which the loops widen, a panel at a time. What is beyond the end is zero. */
#include "kernel.h"

#if LANES == 8
#define TALL 8
#define ACROSS 3
#elif LANES == 4
#define TALL 4
#define ACROSS 3
#else
#define TALL 4
#define ACROSS 2
#endif
#define WIDE (ACROSS * LANES)

/* Rows at a time, and float64 of results that stay in the cache. */
#define ROWS 256
#define ROOM (1 << 17)

EXPORT long probatum_tall(void) { return TALL; }
EXPORT long probatum_wide(void) { return WIDE; }

/* Transpose LANES rows, of which some may be beyond the end, to every `step`th place. */
INLINE void turn_rows(const float *x, long left, long terms, double *wide, float *narrow,
                      long step, double *squares) {
    vdouble sum = {0};
    for (long at = 0; at < terms; at++) {
        vfloat some = {0};
        if (left >= LANES)
            for (int lane = 0; lane < LANES; lane++) some[lane] = x[lane * terms + at];
        else
            for (int lane = 0; lane < left; lane++) some[lane] = x[lane * terms + at];
        vdouble here = __builtin_convertvector(some, vdouble);
        if (wide)
            *(vdouble_at *)(wide + at * step) = here;
        else
            *(vfloat_at *)(narrow + at * step) = some;
        sum += here * here;
    }
    for (int lane = 0; lane < LANES && lane < left; lane++) squares[lane] = sum[lane];
}

/* Put x[count][rows][terms] into panels of the left side; squares[count][rows] are rows' sums. */
EXPORT void probatum_pack_left(const float *x, long count, long rows, long terms, double *panels,
                               double *squares) {
    for (long one = 0; one < count; one++, x += rows * terms, squares += rows)
        for (long row = 0; row < rows; row += TALL, panels += TALL * terms)
            for (long part = 0; part < TALL; part += LANES)
                turn_rows(x + (row + part) * terms, rows - row - part, terms, panels + part, NULL,
                          TALL, squares + row + part);
}

/* Likewise of the right side, whose rows are the product's columns. */
EXPORT void probatum_pack_right(const float *x, long count, long rows, long terms, float *panels,
                                double *squares) {
    for (long one = 0; one < count; one++, x += rows * terms, squares += rows)
        for (long row = 0; row < rows; row += WIDE, panels += WIDE * terms)
            for (long part = 0; part < WIDE; part += LANES)
                turn_rows(x + (row + part) * terms, rows - row - part, terms, NULL, panels + part,
                          WIDE, squares + row + part);
}

/* Add a panel's product to TALL rows of WIDE results, or begin them. */
static void multiply_panels(const double *left, const double *right, long terms, double *out,
                            long stride, int is_first) {
    vdouble sums[TALL][ACROSS];
    for (int row = 0; row < TALL; row++)
        for (int part = 0; part < ACROSS; part++) sums[row][part] = (vdouble){0};
    for (long at = 0; at < terms; at++) {
        vdouble some[ACROSS];
#pragma GCC unroll 3
        for (int part = 0; part < ACROSS; part++)
            some[part] = load_double(right + (at * ACROSS + part) * LANES);
#pragma GCC unroll 8
        for (int row = 0; row < TALL; row++) {
            double one = left[at * TALL + row];
#if LANES == 8
            vdouble all = {one, one, one, one, one, one, one, one};
#elif LANES == 4
            vdouble all = {one, one, one, one};
#else
            vdouble all = {one, one};
#endif
#pragma GCC unroll 3
            for (int part = 0; part < ACROSS; part++) sums[row][part] += all * some[part];
        }
    }
    for (int row = 0; row < TALL; row++)
        for (int part = 0; part < ACROSS; part++) {
            vdouble_at *there = (vdouble_at *)(out + row * stride + part * LANES);
            if (!is_first) sums[row][part] += *there;
            *there = sums[row][part];
        }
}

/* A product's sizes, and the panels of columns that are asked for. */
typedef struct {
    int64_t matrices, rows, columns, terms, chunk, begin, end;
} product;

typedef struct {
    const double *left;
    const float *right;
    const double *bounds, *norms;
    double *results, *panel;
    float *out;
    int64_t *undecided;
} place;

/* Compute and round some rows of some panels of columns of one matrix. */
static long multiply_block(const product *p, const place *here, long first, long row, long rows,
                           long begin, long end, long found) {
    long stride = (end - begin) * WIDE, terms = p->terms;
    for (long at = 0; at < terms; at += p->chunk) {
        long size = terms - at < p->chunk ? terms - at : p->chunk;
        for (long panel = begin; panel < end; panel++) {
            const float *narrow = here->right + (panel * terms + at) * WIDE;
            for (long i = 0; i < size * WIDE; i += LANES)
                *(vdouble_at *)(here->panel + i) = load(narrow + i);
            for (long i = row; i < row + rows; i += TALL)
                multiply_panels(here->left + i * terms + at * TALL, here->panel, size,
                                here->results + (i - row) * stride + (panel - begin) * WIDE,
                                stride, at == 0);
        }
    }
    long column = begin * WIDE, columns = p->columns - column;
    if (columns > stride) columns = stride;
    for (long i = row; i < row + rows && i < p->rows; i++)
        found = round_row(here->results + (i - row) * stride, here->bounds[i],
                          here->norms + column, columns, here->out + i * p->columns + column,
                          first + i * p->columns + column, here->undecided, found);
    return found;
}

/* The results lie in a room of their own, from a line of the cache on. */
static double *align(double *x) { return (double *)(((uintptr_t)x + 63) & ~(uintptr_t)63); }

/* Round left @ right.T within bounds[matrix][row] * norms[matrix][column] to out[matrices][rows]
 * [columns]. undecided takes places in out; `work` is of probatum_room float64. Returns how many
 * are undecided. */
EXPORT long probatum_multiply(const double *left, const float *right, const double *bounds,
                              const double *norms, const product *p, float *out,
                              int64_t *undecided, double *work) {
    long tall = (p->rows + TALL - 1) / TALL * TALL, wide = (p->columns + WIDE - 1) / WIDE;
    long most = tall < ROWS ? tall : ROWS, across = ROOM / (most * WIDE), found = 0;
    if (across < 1) across = 1;
    double *panel = align(work), *results = align(panel + p->chunk * WIDE);
    for (long one = 0; one < p->matrices; one++) {
        place here = {left + one * tall * p->terms, right + one * wide * WIDE * p->terms,
                      bounds + one * p->rows, norms + one * p->columns, results, panel,
                      out + one * p->rows * p->columns, undecided};
        for (long row = 0; row < tall; row += ROWS)
            for (long begin = p->begin; begin < p->end; begin += across) {
                long rows = tall - row < ROWS ? tall - row : ROWS;
                long end = p->end - begin < across ? p->end : begin + across;
                found = multiply_block(p, &here, one * p->rows * p->columns, row, rows, begin,
                                       end, found);
            }
    }
    return found;
}

/* How many float64 probatum_multiply works in. */
EXPORT long probatum_room(long chunk) { return chunk * WIDE + ROOM + ROWS * WIDE + 32; }
