/* All layers of a decoder, one step after another, in one call: whoever shares an interpreter with
 * the caller goes on meanwhile. Float32 steps here are rounded on their own: never compile this page
 * with contraction. */
#include "kernel.h"

/* Of one layer the steps, in order; after the last layer two of them make logits. */
enum { NORM, PROJECT, ATTEND, MERGE, FEED_NORM, EXPAND, GATE, CONTRACT, STEPS };

typedef struct {
    const float *attention_norm, *bias, *feed_norm;
    matrix project, merge, expand, contract;
} layer;

typedef struct {
    const layer *layers;
    int64_t depth, width, queries, keys, head_width, hidden;
    const float *final_norm, *cosines, *sines;
    matrix head;
    float epsilon, scale;
} network;

/* What is read: rows x[count][width], of which `wanted` are to have logits; room for what a step
 * leaves to the next ones: state[count][width], wide[count][..] and mixed[count][..]. `open` has room
 * for each part's keys, `scratch` for count and the longest row. */
typedef struct {
    const text_part *parts;
    int64_t part_count, count;
    float *x, *state, *wide, *mixed;
    const int64_t *wanted;
    int64_t wanted_count;
    float *logits;
    int32_t *marks, *wanted_marks, *open;
    int64_t *undecided;
    int64_t room;
    double *scratch;
    int64_t step;
} reading;

static void add_bias(float *rows, const float *bias, long count, long width, int32_t *marks) {
    for (long row = 0; row < count; row++)
        for (long at = 0; at < width; at++) {
            float sum = rows[row * width + at] + bias[at];
            rows[row * width + at] = sum;
            if (!isfinite(sum)) marks[row] = 1;
        }
}

static void add_state(const network *n, reading *r) {
    for (long at = 0; at < r->count * n->width; at++) r->x[at] += r->state[at];
}

static long multiply(struct pool *pool, reading *r, const matrix *m, const float *x, float *out) {
    return probatum_multiply(pool, m, x, r->count, out, r->marks, r->undecided, r->room,
                             r->scratch);
}

static long attend(struct pool *pool, const network *n, reading *r, long number) {
    long opens = r->part_count * n->keys, found = 0;
    if (n->layers[number].bias != NULL)
        add_bias(r->wide, n->layers[number].bias, r->count,
                 (n->queries + 2 * n->keys) * n->head_width, r->marks);
    memset(r->open, 0, sizeof *r->open * (size_t)opens);
    memset(r->mixed, 0, 4 * (size_t)(r->count * n->queries * n->head_width));
    probatum_attend(pool, r->wide, r->parts, r->part_count, n->cosines, n->sines, n->queries,
                    n->keys, n->head_width, number, n->scale, r->mixed, r->marks, r->open);
    for (long at = 0; at < opens; at++) found += r->open[at] != 0;
    return found;
}

static long make_logits(struct pool *pool, const network *n, reading *r, long step) {
    if (step != NORM)
        return probatum_multiply(pool, &n->head, r->state, r->wanted_count, r->logits,
                                 r->wanted_marks, r->undecided, r->room, r->scratch);
    /* What is wanted moves to the front, in order. */
    for (long at = 0; at < r->wanted_count; at++)
        memmove(r->x + at * n->width, r->x + r->wanted[at] * n->width, 4 * (size_t)n->width);
    return probatum_norm(r->x, n->final_norm, n->epsilon, r->wanted_count, n->width, r->state,
                         r->undecided);
}

static long take_step(struct pool *pool, const network *n, reading *r) {
    long number = r->step / STEPS, step = r->step % STEPS;
    if (step == FEED_NORM || (step == NORM && number > 0)) add_state(n, r);
    if (number == n->depth) return make_logits(pool, n, r, step);
    const layer *l = n->layers + number;
    switch (step) {
    case NORM:
        return probatum_norm(r->x, l->attention_norm, n->epsilon, r->count, n->width, r->state,
                             r->undecided);
    case PROJECT:
        return multiply(pool, r, &l->project, r->state, r->wide);
    case ATTEND:
        return attend(pool, n, r, number);
    case MERGE:
        return multiply(pool, r, &l->merge, r->mixed, r->state);
    case FEED_NORM:
        return probatum_norm(r->x, l->feed_norm, n->epsilon, r->count, n->width, r->state,
                             r->undecided);
    case EXPAND:
        return multiply(pool, r, &l->expand, r->state, r->wide);
    case GATE:
        return probatum_gate(r->wide, r->count, n->hidden, r->mixed, r->undecided, r->room);
    default:
        return multiply(pool, r, &l->contract, r->mixed, r->state);
    }
}

/* Take steps from r->step on, until something is undecided: then it returns how much, as that step
 * alone does, and the caller goes on with the next one once it is settled. 0 after the last one. */
EXPORT long probatum_read(struct pool *pool, const network *n, reading *r) {
    long last = n->depth * STEPS + (r->wanted_count ? PROJECT : -1);
    for (; r->step <= last; r->step++) {
        long found = take_step(pool, n, r);
        if (found) return found;
    }
    return 0;
}
