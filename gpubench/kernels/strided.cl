/* Reads every STRIDE-th element: the memory transfers more than what was requested. */

/* `vectors` counts elements here, each STRIDE after the previous one; the first is at `start`. */
KERNEL(strided_read)(GLOBAL const WORD *RESTRICT a, GLOBAL WORD *RESTRICT sums, u64 start, u64 vectors, u64 rounds) {
    LOCAL WORD scratch[GROUP_SIZE];
    WORD total = 0;
    EACH_CHUNK {
        WORD x[UNROLL], sum = 0;
        EACH_UNROLLED x[u] = a[start + AT(u) * STRIDE];
        EACH_UNROLLED sum += x[u];
        total += sum;
    }
    STORE_GROUP_SUM(total, sums)
}

/* p is the index of the first element, q the stride, r the salt. */
TOTAL_KERNEL(strided, word_at(p + i * q, (u32)r))
