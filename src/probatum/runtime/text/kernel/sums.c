/* Sums that are taken again, and what they round to. */
#include "kernel.h"

static void normalise(double *total, double *error) {
    double sum = *total + *error, shadow = sum - *total;
    *error = (*total - (sum - shadow)) + (*error - shadow);
    *total = sum;
}

/* Round total + error, |error| at most half a unit of total, to float32: 0 if it cannot be said. */
static int round_pair(double total, double error, float *out) {
    float near = (float)total;
    if (isinf(near)) return 0;
    if (error != 0 && (double)near != total) {
        float other = nextafterf(near, (double)near < total ? INFINITY : -INFINITY);
        if (isinf(other)) return 0;
        /* Both are float32: their mean is exact. */
        if (((double)near + (double)other) * 0.5 == total)
            near = (error > 0) == (other > near) ? other : near;
    }
    *out = near;
    return 1;
}

int settle_sum(pair_sum sum, float *out) {
    normalise(&sum.total, &sum.error);
    if (sum.missing == 0 && DOUBT == 1) {
        if (sum.total == 0) {
            *out = 0.0f;
            return 1;
        }
        return round_pair(sum.total, sum.error, out);
    }
    double slack = sum.missing * (1 + 0x1p-20) + fabs(sum.error) * (4 * UNIT * DOUBT);
    double low_total = sum.total, low_error = sum.error - slack;
    double high_total = sum.total, high_error = sum.error + slack;
    normalise(&low_total, &low_error);
    normalise(&high_total, &high_error);
    float low, high;
    if (!round_pair(low_total, low_error, &low) || !round_pair(high_total, high_error, &high))
        return 0;
    *out = high;
    return bits_of(low) == bits_of(high);
}

int dot_exactly(const float *one, const float *two, long terms, float *out) {
    vdouble total = {0}, error = {0}, missing = {0};
    long at = 0;
    for (; at + LANES <= terms; at += LANES) {
        vdouble term = load(one + at) * load(two + at);
        vdouble next = total + term, shadow = next - total;
        vdouble lost = (total - (next - shadow)) + (term - shadow);
        vdouble errors = error + lost;
        shadow = errors - error;
        vdouble rest = (error - (errors - shadow)) + (lost - shadow);
        missing += (vdouble)((vlong)rest & INT64_MAX);
        total = next;
        error = errors;
    }
    pair_sum sum = {0, 0, 0};
    for (int lane = 0; lane < LANES; lane++) {
        sum.missing += missing[lane];
        add_exactly(&sum, total[lane]);
        add_exactly(&sum, error[lane]);
    }
    for (; at < terms; at++) add_exactly(&sum, (double)one[at] * (double)two[at]);
    return settle_sum(sum, out);
}

int dot_strided(const float *one, const float *two, long stride, long terms, float *out) {
    pair_sum sum = {0, 0, 0};
    for (long at = 0; at < terms; at++)
        add_exactly(&sum, (double)one[at] * (double)two[at * stride]);
    return settle_sum(sum, out);
}

double sum_squares(const float *x, long count) {
    vdouble sum = {0};
    long at = 0;
    for (; at + LANES <= count; at += LANES) {
        vdouble here = load(x + at);
        sum += here * here;
    }
    double total = add_lanes(sum);
    for (; at < count; at++) total += (double)x[at] * (double)x[at];
    return total;
}
