/* Mixed reads and writes: READS vectors are read for every WRITES vectors that are written.

   A footprint is READS + WRITES parts of equal size, of which the first READS are read. Every element holds
   the folded counter of its index, and the same value is written again: so another mix can read what this one
   wrote, and no mix needs its inputs restored. */

typedef VECTOR_OF(WORD) wordvec;

#define EACH_READ UNROLLED for (u32 k = 0; k < READS; ++k)
#define EACH_WRITTEN UNROLLED for (u32 k = 0; k < WRITES; ++k)

/* `first` is the index of the first element to be written. */
KERNEL(read_and_write)
(GLOBAL const wordvec *RESTRICT in, GLOBAL wordvec *RESTRICT out, GLOBAL WORD *RESTRICT sums, u64 vectors, u64 rounds,
 u64 first, u64 salt) {
    LOCAL WORD scratch[GROUP_SIZE];
    wordvec start, sum[UNROLL];
    EACH_LANE LANE(WORD, start, lane) = counter_at(first + lane, (u32)salt);
    EACH_UNROLLED sum[u] = SPLAT(WORD, (WORD)0);
    EACH_CHUNK {
#if READS
        wordvec x[READS * UNROLL];
        EACH_READ EACH_UNROLLED x[k * UNROLL + u] = in[k * vectors + AT(u)];
#endif
#if WRITES
        EACH_WRITTEN EACH_UNROLLED {
            const u64 at = k * vectors + AT(u);
            const wordvec counter = start + SPLAT(WORD, (WORD)(at * VECTOR_ELEMENTS) * COUNTER_STEP);
            STORE(out + at, FOLDED(counter));
        }
#endif
#if READS
        EACH_READ EACH_UNROLLED sum[u] += x[k * UNROLL + u];
#endif
    }
#if READS
    WORD total = 0;
    EACH_UNROLLED {
        EACH_LANE total += LANE(WORD, sum[u], lane);
    }
    STORE_GROUP_SUM(total, sums)
#endif
}

KERNEL(fill)(GLOBAL WORD *a, u64 count, u64 first, u64 salt) {
    EACH_ELEMENT a[i] = folded_at(first + i, (u32)salt);
}

/* p is the index of the first element, q the salt. */
CHECK_KERNELS(mix, p + i, folded_at(p + i, (u32)q))
TOTAL_KERNEL(mix, folded_at(p + i, (u32)q))
