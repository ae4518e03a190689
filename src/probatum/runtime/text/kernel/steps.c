/* The small steps. Every float32 operation here is rounded on its own: never compile this page
 * with contraction. The functions and their bounds are those of canon/evaluate/univariate. */
#include <stdlib.h>

#include "kernel.h"

#define EXP_ERROR 0x1p-45
#define SIGMOID_ERROR 0x1p-44

static inline vdouble choose(vlong which, vdouble one, vdouble two) {
    return (vdouble)(((vlong)one & which) | ((vlong)two & ~which));
}

/* exp of float64 of at most 24 bits; beyond +-127 what rounds as exp does; of NaN anything. */
static inline vdouble compute_exp(vdouble x) {
    const vdouble most = (vdouble){0} + 127.0, shifter = (vdouble){0} + 0x1.8p52;
    x = choose(x > most, most, x);
    x = choose(x < -most, -most, x);
    vdouble power = x * 0x1.71547652b82fep+0 + shifter;
    x -= (power - shifter) * 0x1.62e42fefa39efp-1;
    vdouble square = x * x;
    vdouble even = square * -0x1.b87ceb62d7eecp-20 + 0x1.156542f1069d1p-14;
    even = even * square + -0x1.6c16c0f03b9eep-9;
    even = even * square + 0x1.555555554de4ap-3;
    even = even * square + 0x1.0000000000005p+1;
    vdouble value = (even + x) / (even - x);
    return (vdouble)((vlong)value + ((vlong)power << 52));
}

/* Round v within a relative error: the lanes that are open are other than 0. */
static inline vfloat round_function(vdouble value, double error, uint32_t *open) {
    double slack = DOUBT * (error * (1 + 0x1p-20) + 4 * UNIT);
    vfloat high = narrow(value * (1 + slack));
    vfloat low = narrow(value * (1 - slack));
    for (int lane = 0; lane < LANES; lane++) open[lane] = bits_of(high[lane]) ^ bits_of(low[lane]);
    return high;
}

/* Tell whether total, a sum of `terms` that are not negative, divided, rounds for certain. */
static inline int round_positive(double total, long terms, float *out) {
    double slack = (double)(terms + 8) * UNIT * INFLATE;
    *out = (float)(total * (1 + slack));
    return isfinite(total) && bits_of(*out) == bits_of((float)(total * (1 - slack)));
}

/* x / sqrt(mean square + epsilon) * weight. Returns how many rows are undecided, and which. */
EXPORT long probatum_norm(const float *x, const float *weight, float epsilon, long count,
                          long width, float *out, int64_t *undecided) {
    long found = 0;
    for (long row = 0; row < count; row++) {
        const float *here = x + row * width;
        float *there = out + row * width;
        vdouble sums[2] = {{0}, {0}};
        long at = 0;
        for (; at + 2 * LANES <= width; at += 2 * LANES)
            for (int half = 0; half < 2; half++) {
                vfloat some = *(const vfloat_at *)(here + at + half * LANES);
                some = some * some;
                sums[half] += widen(some);
            }
        double total = add_lanes(sums[0] + sums[1]);
        for (; at < width; at++) total += (double)(here[at] * here[at]);
        float mean;
        if (!round_positive(total / (double)width, width, &mean)) undecided[found++] = row;
        float root = sqrtf(mean + epsilon);
        for (at = 0; at < width; at++) there[at] = here[at] / root * weight[at];
    }
    return found;
}

/* gate * sigmoid(gate) * up of both[count][2 width]. Returns how many elements are undecided; of
 * the first `room` of them the places are told. */
EXPORT long probatum_gate(const float *both, long count, long width, float *out,
                          int64_t *undecided, long room) {
    long found = 0;
    for (long row = 0; row < count; row++)
        for (long at = 0; at < width; at += LANES) {
            const float *gate = both + 2 * row * width + at, *up = gate + width;
            float *there = out + row * width + at;
            int lanes = width - at < LANES ? (int)(width - at) : LANES;
            float some[LANES] = {0};
            memcpy(some, gate, 4 * (size_t)lanes);
            uint32_t open[LANES], any = 0;
            vdouble power = compute_exp(-load(some));
            vfloat shut = round_function(1.0 / (power + 1.0), SIGMOID_ERROR, open);
            for (int lane = 0; lane < lanes; lane++) {
                there[lane] = some[lane] * shut[lane] * up[lane];
                any |= open[lane];
            }
            if (!any) continue;
            for (int lane = 0; lane < lanes; lane++) {
                if (!open[lane]) continue;
                if (found < room) undecided[found] = row * width + at + lane;
                found++;
            }
        }
    return found;
}

typedef struct {
    float *rows, *out;
    const text_part *parts;
    const float *cosines, *sines;
    long queries, heads, width, layer;
    float scale;
    int32_t *marks, *open;
} attention;

static void turn(float *head, const float *cosine, const float *sine, long half) {
    for (long at = 0; at < half; at++) {
        float one = head[at], two = head[at + half];
        float first = one * cosine[at], second = two * sine[at];
        float third = two * cosine[at], fourth = one * sine[at];
        head[at] = first - second;
        head[at + half] = third + fourth;
    }
}

/* Scores of one query with the keys before it: 0 if one is undecided. */
static int score(const float *query, const float *keys, const double *norms, long seen, long width,
                 float *out) {
    double factor = (double)(width / LANES + 2 * LANES + 4) * UNIT * INFLATE;
    factor *= sqrt(sum_squares(query, width));
    for (long place = 0; place < seen; place++) {
        const float *key = keys + place * width;
        vdouble sum = {0};
        long at = 0;
        for (; at + LANES <= width; at += LANES) sum += load(query + at) * load(key + at);
        double value = add_lanes(sum), bound = factor * norms[place];
        for (; at < width; at++) value += (double)query[at] * (double)key[at];
        float high = (float)(value + bound), low = (float)(value - bound);
        out[place] = high;
        if (bits_of(high) != bits_of(low) && !dot_exactly(query, key, width, out + place))
            return 0;
    }
    return 1;
}

/* Softmax in place, room for LANES more: 0 if something is undecided. */
static int soften(float *scores, long seen) {
    float most = scores[0];
    for (long at = 1; at < seen; at++) most = scores[at] > most ? scores[at] : most;
    if (!isfinite(most)) {
        for (long at = 0; at < seen; at++) scores[at] = NAN;
        return 1;
    }
    for (long at = seen; at < seen + LANES; at++) scores[at] = -INFINITY;
    vdouble sum = {0};
    uint32_t any = 0;
    for (long at = 0; at < seen; at += LANES) {
        vfloat moved = *(const vfloat_at *)(scores + at) - most;
        uint32_t open[LANES];
        vfloat power =
            round_function(compute_exp(widen(moved)), EXP_ERROR, open);
        *(vfloat_at *)(scores + at) = power;
        for (int lane = 0; lane < LANES; lane++) any |= open[lane];
        sum += widen(power);
    }
    if (any) return 0;
    float total;
    if (!round_positive(add_lanes(sum), seen, &total)) {
        pair_sum again = {0, 0, 0};
        for (long at = 0; at < seen; at++) add_exactly(&again, (double)scores[at]);
        if (!settle_sum(again, &total)) return 0;
    }
    for (long at = 0; at < seen; at++) scores[at] /= total;
    return 1;
}

#define CHUNK 8

/* Sums of values by shares: 0 if one is undecided. */
static int mix(const float *shares, const float *values, const float *most, long seen, long width,
               float *out) {
    double factor = (double)(seen + 8) * UNIT * INFLATE * (1 + 0x1p-20);
    if (isnan(shares[0])) {
        for (long at = 0; at < width; at++) out[at] = NAN;
        return 1;
    }
    for (long begin = 0; begin < width; begin += CHUNK * LANES) {
        double sums[CHUNK * LANES] = {0};
        long count = width - begin < CHUNK * LANES ? width - begin : CHUNK * LANES;
        if (count == CHUNK * LANES) {
            vdouble wide[CHUNK];
            for (int part = 0; part < CHUNK; part++) wide[part] = (vdouble){0};
            for (long place = 0; place < seen; place++) {
                const float *value = values + place * width + begin;
                double share = (double)shares[place];
#pragma GCC unroll 8
                for (int part = 0; part < CHUNK; part++)
                    wide[part] += load(value + part * LANES) * share;
            }
            memcpy(sums, wide, sizeof sums);
        } else {
            for (long place = 0; place < seen; place++)
                for (long at = 0; at < count; at++)
                    sums[at] += (double)values[place * width + begin + at] * (double)shares[place];
        }
        for (long at = 0; at < count; at++) {
            double bound = factor * (double)most[begin + at];
            float high = (float)(sums[at] + bound), low = (float)(sums[at] - bound);
            out[begin + at] = high;
            if (bits_of(high) != bits_of(low) &&
                !dot_strided(shares, values + begin + at, width, seen, out + begin + at))
                return 0;
        }
    }
    return 1;
}

/* Put one row's key and value of one head into the cache: 0 if they are not finite. */
static int store(const attention *a, const text_part *part, long head, long row, float *cut) {
    long width = a->width, position = part->position + row, place = a->layer * a->heads + head;
    float *key = cut + (a->queries + head) * width, *value = key + a->heads * width;
    const float *cosine = a->cosines + position * (width / 2);
    const float *sine = a->sines + position * (width / 2);
    turn(key, cosine, sine, width / 2);
    long group = a->queries / a->heads;
    for (long query = head * group; query < (head + 1) * group; query++) {
        turn(cut + query * width, cosine, sine, width / 2);
        for (long at = 0; at < width; at++) cut[query * width + at] *= a->scale;
    }
    double square = sum_squares(key, width);
    if (!isfinite(square) || !isfinite(sum_squares(value, width))) return 0;
    long at_row = place * part->room + position;
    memcpy((float *)part->keys + at_row * width, key, 4 * (size_t)width);
    memcpy((float *)part->values + at_row * width, value, 4 * (size_t)width);
    ((double *)part->norms)[at_row] = sqrt(square);
    float *most = (float *)part->most + place * width;
    for (long at = 0; at < width; at++) {
        float size = fabsf(value[at]);
        most[at] = size > most[at] ? size : most[at];
    }
    return 1;
}

static void attend_head(void *argument, long item) {
    attention *a = argument;
    const text_part *part = a->parts + item / a->heads;
    long head = item % a->heads, width = a->width, group = a->queries / a->heads;
    long across = (a->queries + 2 * a->heads) * width, place = a->layer * a->heads + head;
    const float *keys = (const float *)part->keys + place * part->room * width;
    const float *values = (const float *)part->values + place * part->room * width;
    const double *norms = (const double *)part->norms + place * part->room;
    const float *most = (const float *)part->most + place * width;
    float *scores = malloc(4 * (size_t)(part->position + part->count + LANES));
    if (scores == NULL) a->open[item] = 1;
    for (long row = 0; row < part->count; row++) {
        float *cut = a->rows + (part->begin + row) * across;
        if (!store(a, part, head, row, cut)) {
            a->marks[part->begin + row] = 1;
            break;
        }
        long seen = part->position + row + 1;
        for (long query = head * group; query < (head + 1) * group; query++) {
            float *out = a->out + ((part->begin + row) * a->queries + query) * width;
            if (a->open[item]) continue;
            if (!isfinite(sum_squares(cut + query * width, width))) {
                for (long at = 0; at < width; at++) out[at] = NAN;
                continue;
            }
            a->open[item] = !(score(cut + query * width, keys, norms, seen, width, scores) &&
                              soften(scores, seen) &&
                              mix(scores, values, most, seen, width, out));
        }
    }
    free(scores);
}

/* Attention of all parts in one layer; rows[..][(queries + 2 heads) width] are turned in place.
 * open[parts][heads]: not 0 where a head is to be computed again, its keys and values stored. */
EXPORT void probatum_attend(struct pool *pool, float *rows, const text_part *parts, long count,
                            const float *cosines, const float *sines, long queries, long heads,
                            long width, long layer, float scale, float *out, int32_t *marks,
                            int32_t *open) {
    attention a = {.rows = rows, .out = out, .parts = parts, .cosines = cosines, .sines = sines,
                   .queries = queries, .heads = heads, .width = width, .layer = layer,
                   .scale = scale, .marks = marks, .open = open};
    run_all(pool, attend_head, &a, count * heads);
}
