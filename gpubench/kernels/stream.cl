/* The stream family: every kernel walks through its arrays in the same way and differs in one line.

   An array is a row of chunks; a chunk is UNROLL times GROUP_SIZE vectors. In the order TILE each group
   owns a contiguous row of chunks; otherwise all groups stride together (with one chunk for each group
   where there are as many groups as chunks). All loads of a chunk stand before its first use, so that
   UNROLL of them are in flight for each thread.

   The names have a prefix because OpenCL has a `dot` of its own. `vectors` is a multiple of a chunk. Sums go to one place for each group, each checked on its own. */

typedef VECTOR_OF(ELEMENT) vec;
typedef VECTOR_OF(WORD) wordvec;

#define CHUNK_VECTORS ((u64)GROUP_SIZE * UNROLL)
#if ORDER_TILE
#define CHUNK(round) (GROUP_ID * rounds + (round))
#else
#define CHUNK(round) ((round) * GROUP_COUNT + GROUP_ID)
#endif
#define FIRST(round) (CHUNK(round) * CHUNK_VECTORS + LOCAL_ID)
#define EACH_CHUNK for (u64 round = 0, i = FIRST(0); round < rounds && i < vectors; ++round, i = FIRST(round))
#define EACH_UNROLLED UNROLLED for (u32 u = 0; u < UNROLL; ++u)
#define AT(u) (i + (u) * GROUP_SIZE)

KERNEL(stream_copy)(GLOBAL const vec *RESTRICT a, GLOBAL vec *RESTRICT b, u64 vectors, u64 rounds) {
    EACH_CHUNK {
        vec x[UNROLL];
        EACH_UNROLLED x[u] = a[AT(u)];
        EACH_UNROLLED STORE(b + AT(u), x[u]);
    }
}

KERNEL(stream_scale)(GLOBAL const vec *RESTRICT a, GLOBAL vec *RESTRICT b, u64 vectors, u64 rounds) {
    const vec q = SPLAT(ELEMENT, SCALE_FACTOR);
    EACH_CHUNK {
        vec x[UNROLL];
        EACH_UNROLLED x[u] = a[AT(u)];
        EACH_UNROLLED STORE(b + AT(u), q * x[u]);
    }
}

KERNEL(stream_add)
(GLOBAL const vec *RESTRICT a, GLOBAL const vec *RESTRICT b, GLOBAL vec *RESTRICT c, u64 vectors, u64 rounds) {
    EACH_CHUNK {
        vec x[UNROLL], y[UNROLL];
        EACH_UNROLLED x[u] = a[AT(u)];
        EACH_UNROLLED y[u] = b[AT(u)];
        EACH_UNROLLED STORE(c + AT(u), x[u] + y[u]);
    }
}

KERNEL(stream_triad)
(GLOBAL const vec *RESTRICT a, GLOBAL const vec *RESTRICT b, GLOBAL vec *RESTRICT c, u64 vectors, u64 rounds) {
    const vec q = SPLAT(ELEMENT, SCALE_FACTOR);
    EACH_CHUNK {
        vec x[UNROLL], y[UNROLL];
        EACH_UNROLLED x[u] = a[AT(u)];
        EACH_UNROLLED y[u] = b[AT(u)];
        EACH_UNROLLED STORE(c + AT(u), x[u] + q * y[u]);
    }
}

KERNEL(stream_write)(GLOBAL wordvec *RESTRICT a, u64 vectors, u64 rounds, u64 first, u64 salt) {
    wordvec start;
    UNROLLED for (u32 lane = 0; lane < VECTOR_ELEMENTS; ++lane)
        LANE(WORD, start, lane) = counter_at(first + lane, (u32)salt);
    EACH_CHUNK {
        EACH_UNROLLED STORE(a + AT(u), start + SPLAT(WORD, (WORD)(AT(u) * VECTOR_ELEMENTS) * COUNTER_STEP));
    }
}

/* The sum over a group, in every item of `scratch[0]`; the group's first item stores it. */
#define STORE_GROUP_SUM(value, sums)                                                                          \
    scratch[LOCAL_ID] = value;                                                                                \
    for (u32 step = GROUP_SIZE / 2; step > 0; step /= 2) {                                                    \
        BARRIER;                                                                                              \
        if (LOCAL_ID < step) scratch[LOCAL_ID] += scratch[LOCAL_ID + step];                                   \
    }                                                                                                         \
    if (LOCAL_ID == 0) sums[GROUP_ID] = scratch[0];

KERNEL(stream_read)(GLOBAL const wordvec *RESTRICT a, GLOBAL WORD *RESTRICT sums, u64 vectors, u64 rounds) {
    LOCAL WORD scratch[GROUP_SIZE];
    wordvec sum[UNROLL];
    EACH_UNROLLED sum[u] = SPLAT(WORD, (WORD)0);
    EACH_CHUNK {
        wordvec x[UNROLL];
        EACH_UNROLLED x[u] = a[AT(u)];
        EACH_UNROLLED sum[u] += x[u];
    }
    WORD total = 0;
    EACH_UNROLLED {
        UNROLLED for (u32 lane = 0; lane < VECTOR_ELEMENTS; ++lane) total += LANE(WORD, sum[u], lane);
    }
    STORE_GROUP_SUM(total, sums)
}

#if HAS_DOUBLE

/* Sums in `float` are handed over to `double` before they grow so long that an element could hide. */
#define SUM_ROUNDS 256

KERNEL(stream_dot)
(GLOBAL const vec *RESTRICT a, GLOBAL const vec *RESTRICT b, GLOBAL double *RESTRICT sums, u64 vectors, u64 rounds) {
    LOCAL double scratch[GROUP_SIZE];
    vec sum[UNROLL];
    double total = 0;
    EACH_UNROLLED sum[u] = SPLAT(ELEMENT, (ELEMENT)0);
#define HAND_OVER                                                                                             \
    EACH_UNROLLED {                                                                                           \
        UNROLLED for (u32 lane = 0; lane < VECTOR_ELEMENTS; ++lane) total += LANE(ELEMENT, sum[u], lane);     \
        sum[u] = SPLAT(ELEMENT, (ELEMENT)0);                                                                  \
    }
    EACH_CHUNK {
        vec x[UNROLL], y[UNROLL];
        EACH_UNROLLED x[u] = a[AT(u)];
        EACH_UNROLLED y[u] = b[AT(u)];
        EACH_UNROLLED sum[u] += x[u] * y[u];
#if ELEMENT_BYTES == 4
        if (round % SUM_ROUNDS == SUM_ROUNDS - 1) HAND_OVER
#endif
    }
    HAND_OVER
    STORE_GROUP_SUM(total, sums)
}

#endif
