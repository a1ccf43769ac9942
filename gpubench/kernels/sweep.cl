/* Bandwidth of data that fits in caches: a launch takes longer than a pass, so groups make many passes in one.

   The memory is `tiles` tiles of `tile_chunks` chunks. A group starts with its own tile and moves on by `step`
   tiles after each pass: with 0 it stays, which suits caches that belong to one core; otherwise all groups visit
   all tiles, which suits a cache that all of them share. The data read is summed, so that no pass can be skipped.
   A group that stays cannot skip a store either: it adds the number of repeats so far to what it stores, and the
   last value must remain. If groups share tiles, all store the same values, because it is not known which group
   stores last. */

typedef VECTOR_OF(WORD) wordvec;

#define TILE_VECTORS (tile_chunks * CHUNK_VECTORS)
#define EACH_TILE                                                                                             \
    u64 tile = GROUP_ID % tiles;                                                                              \
    for (u64 repeat = 0; repeat < repeats; ++repeat, tile += step, tile -= tile < tiles ? 0 : tiles)

#define SWEEP(visit)                                                                                          \
    LOCAL WORD scratch[GROUP_SIZE];                                                                           \
    wordvec sum[UNROLL];                                                                                      \
    EACH_UNROLLED sum[u] = SPLAT(WORD, (WORD)0);                                                              \
    EACH_TILE {                                                                                               \
        EACH_CHUNK_OF(tile * TILE_VECTORS, TILE_VECTORS) {                                                    \
            wordvec x[UNROLL];                                                                                \
            EACH_UNROLLED x[u] = a[AT(u)];                                                                    \
            visit                                                                                             \
            EACH_UNROLLED sum[u] += x[u];                                                                     \
        }                                                                                                     \
    }                                                                                                         \
    WORD total = 0;                                                                                           \
    EACH_UNROLLED {                                                                                           \
        EACH_LANE total += LANE(WORD, sum[u], lane);                                                          \
    }                                                                                                         \
    STORE_GROUP_SUM(total, sums)

KERNEL(sweep_read)
(GLOBAL const wordvec *RESTRICT a, GLOBAL WORD *RESTRICT sums, u64 tiles, u64 tile_chunks, u64 step, u64 repeats) {
    SWEEP()
}

KERNEL(sweep_copy)
(GLOBAL const wordvec *RESTRICT a, GLOBAL wordvec *RESTRICT b, GLOBAL WORD *RESTRICT sums, u64 tiles,
 u64 tile_chunks, u64 step, u64 repeats) {
    SWEEP(EACH_UNROLLED STORE(b + AT(u), x[u] + SPLAT(WORD, step ? (WORD)0 : (WORD)repeat));)
}

/* The expected sum of each tile, computed from the hash. */
KERNEL(sum_tiles)(GLOBAL WORD *tile_sums, u64 count, u64 tile_words, u64 salt) {
    EACH_ELEMENT {
        WORD sum = 0;
        for (u64 word = i * tile_words; word < (i + 1) * tile_words; ++word) sum += word_at(word, (u32)salt);
        tile_sums[i] = sum;
    }
}

/* Checks that each of `count` groups summed the tiles that it had to visit. */
KERNEL(check_tours)
(GLOBAL const WORD *sums, u64 count, u64 tiles, u64 step, u64 repeats, GLOBAL const WORD *tile_sums,
 GLOBAL u32 *found, GLOBAL u64 *reports) {
    EACH_ELEMENT {
        WORD expected = 0;
        for (u64 repeat = 0; repeat < repeats; ++repeat) expected += tile_sums[(i + repeat * step) % tiles];
        if (sums[i] != expected) {
            const u32 number = ATOMIC_ADD(found, 1u);
            ATOMIC_ADD(found + 1, 1u);
            if (number < REPORTS) {
                reports[3 * number] = i;
                reports[3 * number + 1] = expected;
                reports[3 * number + 2] = sums[i];
            }
        }
    }
}

CHECK_KERNELS(copied, i, word_at(i, (u32)p) + q)
