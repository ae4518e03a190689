/* Threads that share out items. They wait awake for a moment, for steps follow fast, then sleep. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "kernel.h"

#define AWAKE 20000
#define MOST_THREADS 256

struct pool {
    int threads;
    _Atomic long turn, next, busy;
    _Atomic int stop, sleeping;
    long items;
    work_fn work;
    void *argument;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    pthread_t members[MOST_THREADS];
};

static inline void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void work_off(struct pool *pool) {
    for (long item; (item = pool->next++) < pool->items;) pool->work(pool->argument, item);
}

static void *serve(void *argument) {
    struct pool *pool = argument;
    for (long seen = 0;;) {
        for (int spins = 0; pool->turn == seen && spins < AWAKE; spins++) pause_briefly();
        if (pool->turn == seen) {
            pthread_mutex_lock(&pool->lock);
            pool->sleeping++;
            while (pool->turn == seen) pthread_cond_wait(&pool->woken, &pool->lock);
            pool->sleeping--;
            pthread_mutex_unlock(&pool->lock);
        }
        seen++;
        if (pool->stop) return NULL;
        work_off(pool);
        pool->busy--;
    }
}

static void wake(struct pool *pool) {
    pool->turn++;
    if (pool->sleeping) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_broadcast(&pool->woken);
        pthread_mutex_unlock(&pool->lock);
    }
}

void run_all(struct pool *pool, work_fn work, void *argument, long items) {
    if (pool == NULL || items < 2) {
        for (long item = 0; item < items; item++) work(argument, item);
        return;
    }
    pool->work = work;
    pool->argument = argument;
    pool->items = items;
    pool->next = 0;
    pool->busy = pool->threads;
    wake(pool);
    work_off(pool);
    for (long spins = 0; pool->busy; spins++) {
        if (spins < AWAKE) pause_briefly();
        else sched_yield();
    }
}

EXPORT void probatum_close_pool(struct pool *pool) {
    pool->stop = 1;
    wake(pool);
    for (int member = 0; member < pool->threads; member++) pthread_join(pool->members[member], NULL);
    pthread_cond_destroy(&pool->woken);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

/* Make a pool whose caller works too: `threads` counts it. NULL where that cannot be. */
EXPORT struct pool *probatum_open_pool(int threads) {
    if (threads < 2 || threads > MOST_THREADS) return NULL;
    struct pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL) return NULL;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->woken, NULL);
    for (; pool->threads < threads - 1; pool->threads++)
        if (pthread_create(&pool->members[pool->threads], NULL, serve, pool)) break;
    if (pool->threads) return pool;
    free(pool);
    return NULL;
}

/* The vectors that this processor has: 0 none that are known, 3 AVX2 with FMA, 4 AVX-512. */
EXPORT int probatum_level(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512cd"))
        return 4;
    return 3;
#else
    return 0;
#endif
}
