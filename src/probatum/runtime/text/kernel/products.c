/* Rows by a matrix of float32, every element rounded once. Weights are widened in the register;
 * quantised ones are decoded into the nearest cache before, a few rows at a time. */
#include <stdlib.h>

#include "kernel.h"

#define BLOCK 96
#define FEW 4
#if LANES == 8
#define WIDE 8
#define TALL 3
#else
#define WIDE 4
#define TALL 3
#endif

/* One row, as float64, by four rows of the matrix at a time: bound by memory. */
static inline void multiply_one(const float *w, long rows, long terms, const double *x, double *out,
                                int fetches) {
    long row = 0;
    for (; row + 4 <= rows; row += 4) {
        const float *here = w + row * terms;
        vdouble sums[4][2] = {{{0}}};
        long at = 0;
        for (; at + 2 * LANES <= terms; at += 2 * LANES) {
            vdouble one = load_double(x + at), two = load_double(x + at + LANES);
#pragma GCC unroll 4
            for (int r = 0; r < 4; r++) {
                const float *place = here + r * terms + at;
                /* Short rows end before the processor sees that they are read in order. */
                if (fetches) __builtin_prefetch(place + 8 * terms);
                sums[r][0] += load(place) * one;
                sums[r][1] += load(place + LANES) * two;
            }
        }
        for (int r = 0; r < 4; r++) {
            double sum = add_lanes(sums[r][0] + sums[r][1]);
            for (long rest = at; rest < terms; rest++)
                sum += (double)here[r * terms + rest] * x[rest];
            out[row + r] = sum;
        }
    }
    for (; row < rows; row++) {
        const float *here = w + row * terms;
        vdouble sum = {0};
        long at = 0;
        for (; at + LANES <= terms; at += LANES) sum += load(here + at) * load_double(x + at);
        double total = add_lanes(sum);
        for (; at < terms; at++) total += (double)here[at] * x[at];
        out[row] = total;
    }
}

/* Some rows by some of the matrix's, both numbers known when this is compiled. */
#define DEFINE_TILE(name, ROWS, COUNT)                                                           \
    static void name(const float *w, long terms, const float *x, double *out) {                  \
        vdouble sums[ROWS][COUNT];                                                               \
        for (int r = 0; r < ROWS; r++)                                                           \
            for (int c = 0; c < COUNT; c++) sums[r][c] = (vdouble){0};                           \
        long at = 0;                                                                             \
        for (; at + LANES <= terms; at += LANES) {                                               \
            vdouble here[ROWS];                                                                  \
            _Pragma("GCC unroll 8") for (int r = 0; r < ROWS; r++) {                             \
                __builtin_prefetch(w + (r + 2 * ROWS) * terms + at);                             \
                here[r] = load(w + r * terms + at);                                              \
            }                                                                                    \
            _Pragma("GCC unroll 8") for (int c = 0; c < COUNT; c++) {                            \
                vdouble there = load(x + c * terms + at);                                        \
                _Pragma("GCC unroll 8") for (int r = 0; r < ROWS; r++)                           \
                    sums[r][c] += here[r] * there;                                               \
            }                                                                                    \
        }                                                                                        \
        for (int r = 0; r < ROWS; r++)                                                           \
            for (int c = 0; c < COUNT; c++) {                                                    \
                double sum = add_lanes(sums[r][c]);                                              \
                for (long rest = at; rest < terms; rest++)                                       \
                    sum += (double)w[r * terms + rest] * (double)x[c * terms + rest];            \
                out[c * BLOCK + r] = sum;                                                        \
            }                                                                                    \
    }

DEFINE_TILE(tile_wide, TALL, WIDE)
DEFINE_TILE(tile_wide_last, 1, WIDE)
DEFINE_TILE(tile_two, 4, 2)
DEFINE_TILE(tile_two_last, 1, 2)

typedef struct {
    const float *w, *x;
    const uint8_t *blocks;
    const double *w_norms, *x_norms, *x_wide;
    long kind, row_bytes, rows, terms, count, room;
    float *out;
    int64_t *undecided;
    _Atomic long found;
} product;

/* A row of the matrix; decoded again where it is kept in blocks. */
static const float *find_row(const product *p, long row, float *spare) {
    if (p->kind == FLOATS) return p->w + row * p->terms;
    decode_rows(p->kind, p->blocks + row * p->row_bytes, 1, p->terms, spare);
    return spare;
}

/* Round a tile's values; what is open is summed again, and if still open noted. */
static void round_tile(product *p, long first, long last, long begin, long count, long path,
                       const double *values, float *spare) {
    double factor = (double)(path + 4) * UNIT * INFLATE;
    for (long c = begin; c < begin + count; c++) {
        const double *value = values + (c - begin) * BLOCK, *norms = p->w_norms + first;
        double scale = factor * p->x_norms[c];
        float *out = p->out + c * p->rows + first;
        uint32_t differ = 0;
        for (long j = 0; j < last - first; j++) {
            double bound = scale * norms[j];
            float high = (float)(value[j] + bound), low = (float)(value[j] - bound);
            out[j] = high;
            differ |= bits_of(high) ^ bits_of(low);
        }
        if (!differ || !isfinite(p->x_norms[c])) continue;
        for (long j = 0; j < last - first; j++) {
            double bound = scale * norms[j];
            float high = (float)(value[j] + bound), low = (float)(value[j] - bound);
            if (bits_of(high) == bits_of(low)) continue;
            const float *row = find_row(p, first + j, spare);
            if (dot_exactly(row, p->x + c * p->terms, p->terms, out + j)) continue;
            long place = p->found++;
            if (place < p->room) p->undecided[place] = c * p->rows + first + j;
        }
    }
}

/* Multiply by up to BLOCK rows w, from the matrix's row `first` on. */
static void multiply_rows(product *p, long first, long rows, const float *w, float *spare) {
    double values[WIDE * BLOCK];
    long terms = p->terms, last = first + rows, c = 0, r;
    /* Additions that a product passes: in its lane, of the lanes, of what is left over. */
    long path = terms / LANES + 3 * LANES;
    for (; c + WIDE <= p->count; c += WIDE) {
        const float *x = p->x + c * terms;
        for (r = 0; r + TALL <= rows; r += TALL) tile_wide(w + r * terms, terms, x, values + r);
        for (; r < rows; r++) tile_wide_last(w + r * terms, terms, x, values + r);
        round_tile(p, first, last, c, WIDE, path, values, spare);
    }
    for (; c + 2 <= p->count; c += 2) {
        const float *x = p->x + c * terms;
        for (r = 0; r + 4 <= rows; r += 4) tile_two(w + r * terms, terms, x, values + r);
        for (; r < rows; r++) tile_two_last(w + r * terms, terms, x, values + r);
        round_tile(p, first, last, c, 2, path, values, spare);
    }
    if (c == p->count) return;
    if (w != NULL) multiply_one(w, rows, terms, p->x_wide, values, 1);
    else
        for (r = 0; r < rows; r += FEW) {
            long few = r + FEW < rows ? FEW : rows - r;
            float *near = spare + terms;
            decode_rows(p->kind, p->blocks + (first + r) * p->row_bytes, few, terms, near);
            multiply_one(near, few, terms, p->x_wide, values + r, 0);
        }
    round_tile(p, first, last, c, 1, path, values, spare);
}

static void multiply_block(void *argument, long item) {
    product *p = argument;
    long first = item * BLOCK, rows = first + BLOCK < p->rows ? BLOCK : p->rows - first;
    if (p->kind == FLOATS) {
        multiply_rows(p, first, rows, p->w + first * p->terms, NULL);
        return;
    }
    /* A single row needs each weight once: few are decoded at a time. Room for one row is spare. */
    size_t held = p->count == 1 ? FEW : BLOCK, bytes = 4 * (held + 1) * (size_t)p->terms;
    float *spare = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (spare == NULL) {
        p->found += p->room + 1;
        return;
    }
    float *w = p->count == 1 ? NULL : spare + p->terms;
    if (w != NULL)
        decode_rows(p->kind, p->blocks + first * p->row_bytes, rows, p->terms, w);
    multiply_rows(p, first, rows, w, spare);
    free(spare);
}

/* Multiply rows x[count][terms] by a matrix [rows][terms], float32 or blocks, its rows one after
 * another: out[count][rows]. `scratch` holds count + terms float64. Marks rows that are not finite.
 * Returns how many elements are undecided; of the first `room` of them the places are told. Where
 * there is no memory, more are undecided than there is room for. */
EXPORT long probatum_multiply(struct pool *pool, const matrix *m, const float *x, long count,
                              float *out, int32_t *marks, int64_t *undecided, long room,
                              double *scratch) {
    product p = {.kind = m->kind, .x = x, .w_norms = m->norms, .rows = m->rows, .terms = m->terms,
                 .count = count, .room = room, .out = out, .undecided = undecided, .found = 0};
    if (m->kind == FLOATS) p.w = m->data;
    else {
        p.blocks = m->data;
        p.row_bytes = count_row_bytes(m->kind, m->terms);
    }
    for (long c = 0; c < count; c++) {
        scratch[c] = sqrt(sum_squares(x + c * p.terms, p.terms));
        if (!isfinite(scratch[c])) marks[c] = 1;
    }
    double *wide = scratch + count;
    if (count % 2)
        for (long at = 0; at < p.terms; at++) wide[at] = (double)x[(count - 1) * p.terms + at];
    p.x_norms = scratch;
    p.x_wide = wide;
    run_all(pool, multiply_block, &p, (p.rows + BLOCK - 1) / BLOCK);
    return p.found;
}
