/* Matrices of products: rounding within a bound, widening with norms. */
#include "kernel.h"

long round_row(const double *value, double bound, const double *norms, long columns, float *out,
               int64_t first, int64_t *undecided, long found) {
    for (long begin = 0; begin < columns; begin += BLOCK) {
        long size = columns - begin < BLOCK ? columns - begin : BLOCK, at = 0;
        const double *here = value + begin, *norm = norms + begin;
        float *there = out + begin;
        int32_t open[BLOCK], rest = 0;
        vint any = {0};
        for (; at + LANES <= size; at += LANES) {
            vdouble some = load_double(here + at), slack = load_double(norm + at) * bound;
            vfloat high = __builtin_convertvector(some + slack, vfloat);
            vint differ = compare_ends(__builtin_convertvector(some - slack, vfloat), high);
            *(vfloat_at *)(there + at) = high;
            *(vint_at *)(open + at) = differ;
            any |= differ;
        }
        for (; at < size; at++) {
            double slack = norm[at] * bound;
            float high = (float)(here[at] + slack), low = (float)(here[at] - slack);
            int32_t bits[2];
            memcpy(bits, (float[2]){low, high}, 8);
            there[at] = high;
            rest |= open[at] = bits[0] ^ bits[1];
        }
        if (rest || is_any(any)) found = list_open(open, size, first + begin, undecided, found);
    }
    return found;
}

/* Round value[rows][columns] within bounds[row] * norms[row / height][column]; undecided takes the
 * places, as many as there are elements at most. Returns how many.
 * `first`: the number of the first row among all rows, which norms belong to. */
EXPORT long probatum_round(const double *value, const double *bounds, const double *norms,
                           long first, long height, long rows, long columns, float *out,
                           int64_t *undecided) {
    long found = 0;
    for (long row = 0; row < rows; row++)
        found = round_row(value + row * columns, bounds[row],
                          norms + (first + row) / height * columns, columns, out + row * columns,
                          row * columns, undecided, found);
    return found;
}

/* Widen x[rows][terms] to out, with the sums of squares of rows. */
EXPORT void probatum_widen(const float *x, long rows, long terms, double *out, double *squares) {
    for (long row = 0; row < rows; row++) {
        const float *here = x + row * terms;
        double *there = out + row * terms, total = 0;
        vdouble sums[2] = {{0}, {0}};
        long at = 0;
        for (; at + 2 * LANES <= terms; at += 2 * LANES)
            for (int half = 0; half < 2; half++) {
                vdouble some = load(here + at + half * LANES);
                *(vdouble_at *)(there + at + half * LANES) = some;
                sums[half] += some * some;
            }
        for (; at < terms; at++) {
            there[at] = (double)here[at];
            total += there[at] * there[at];
        }
        sums[0] += sums[1];
        for (int lane = 0; lane < LANES; lane++) total += sums[0][lane];
        squares[row] = total;
    }
}

static void widen_columns(const float *x, long rows, long terms, double *out, long stride,
                          double *squares) {
    long row = 0;
    for (; row + LANES <= rows; row += LANES) {
        const float *here = x + row * terms;
        vdouble sum = {0};
        for (long at = 0; at < terms; at++) {
            vfloat some;
            for (int lane = 0; lane < LANES; lane++) some[lane] = here[lane * terms + at];
            vdouble wide = __builtin_convertvector(some, vdouble);
            *(vdouble_at *)(out + at * stride + row) = wide;
            sum += wide * wide;
        }
        *(vdouble_at *)(squares + row) = sum;
    }
    for (; row < rows; row++) {
        double sum = 0;
        for (long at = 0; at < terms; at++) {
            double wide = (double)x[row * terms + at];
            out[at * stride + row] = wide;
            sum += wide * wide;
        }
        squares[row] = sum;
    }
}

/* Widen x[count][rows][terms] to the columns of out[count][terms][rows], whose rows lie `stride`
 * apart; other than `rows` for one matrix alone. */
EXPORT void probatum_widen_flipped(const float *x, long count, long rows, long terms, double *out,
                                   long stride, double *squares) {
    for (long one = 0; one < count; one++) {
        widen_columns(x, rows, terms, out, stride, squares);
        x += rows * terms;
        out += rows * terms;
        squares += rows;
    }
}
