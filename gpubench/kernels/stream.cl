/* The stream family: all kernels walk through their arrays in the same way and differ in one line.

   The names have a prefix because OpenCL has a built-in `dot`. Each group stores its own sum, and each sum is
   checked separately. A program contains only the kernel that it was built for: compiling the others too, in
   every shape that is tried, would take longer than measuring. */

typedef VECTOR_OF(WORD) wordvec;

#if HAS_ELEMENT

typedef VECTOR_OF(ELEMENT) vec;

#ifdef STREAM_COPY
KERNEL(stream_copy)(GLOBAL const vec *RESTRICT a, GLOBAL vec *RESTRICT b, u64 vectors, u64 rounds) {
    EACH_CHUNK {
        vec x[UNROLL];
        EACH_UNROLLED x[u] = a[AT(u)];
        EACH_UNROLLED STORE(b + AT(u), x[u]);
    }
}
#endif

#ifdef STREAM_SCALE
KERNEL(stream_scale)(GLOBAL const vec *RESTRICT a, GLOBAL vec *RESTRICT b, u64 vectors, u64 rounds) {
    const vec q = SPLAT(ELEMENT, SCALE_FACTOR);
    EACH_CHUNK {
        vec x[UNROLL];
        EACH_UNROLLED x[u] = a[AT(u)];
        EACH_UNROLLED STORE(b + AT(u), q * x[u]);
    }
}
#endif

#ifdef STREAM_ADD
KERNEL(stream_add)
(GLOBAL const vec *RESTRICT a, GLOBAL const vec *RESTRICT b, GLOBAL vec *RESTRICT c, u64 vectors, u64 rounds) {
    EACH_CHUNK {
        vec x[UNROLL], y[UNROLL];
        EACH_UNROLLED x[u] = a[AT(u)];
        EACH_UNROLLED y[u] = b[AT(u)];
        EACH_UNROLLED STORE(c + AT(u), x[u] + y[u]);
    }
}
#endif

#ifdef STREAM_TRIAD
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
#endif

#endif

#ifdef STREAM_WRITE
KERNEL(stream_write)(GLOBAL wordvec *RESTRICT a, u64 vectors, u64 rounds, u64 first, u64 salt) {
    wordvec start;
    UNROLLED for (u32 lane = 0; lane < VECTOR_ELEMENTS; ++lane)
        LANE(WORD, start, lane) = counter_at(first + lane, (u32)salt);
    EACH_CHUNK {
        EACH_UNROLLED STORE(a + AT(u), start + SPLAT(WORD, (WORD)(AT(u) * VECTOR_ELEMENTS) * COUNTER_STEP));
    }
}
#endif

#ifdef STREAM_READ
KERNEL(stream_read)(GLOBAL const wordvec *RESTRICT a, GLOBAL WORD *RESTRICT sums, u64 vectors, u64 rounds) {
    LOCAL WORD scratch[GROUP_SIZE];
    /* Modulo 2^64, so that the order of the additions does not matter. */
    wordvec sum[READ_SUMS];
    UNROLLED for (u32 u = 0; u < READ_SUMS; ++u) sum[u] = SPLAT(WORD, (WORD)0);
    EACH_CHUNK {
        wordvec x[UNROLL];
        EACH_UNROLLED x[u] = a[AT(u)];
        EACH_UNROLLED sum[u % READ_SUMS] += x[u];
    }
    WORD total = 0;
    UNROLLED for (u32 u = 0; u < READ_SUMS; ++u) {
        UNROLLED for (u32 lane = 0; lane < VECTOR_ELEMENTS; ++lane) total += LANE(WORD, sum[u], lane);
    }
    STORE_GROUP_SUM(total, sums)
}
#endif

#if HAS_DOUBLE && defined(STREAM_DOT)

/* Sums in `float` are moved to a `double` before they grow so long that a missing element could go unnoticed. */
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
