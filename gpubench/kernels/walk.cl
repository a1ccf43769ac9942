/* How kernels walk through memory, shared by all families.

   An array is a row of chunks; a chunk is UNROLL times GROUP_SIZE vectors. In the order TILE each group
   owns a contiguous row of chunks. In HALVES it does too, but walks through both halves of its row side by
   side, with half of each chunk in either: this makes two streams for each array, with which some CPUs read and
   copy faster than with one. Otherwise all groups stride together (with one chunk for each group if there are
   as many groups as chunks). All loads of a chunk come before the first use of any of them, so that each
   work-item has UNROLL loads in flight. `vectors` is a multiple of a chunk. */

#define CHUNK_VECTORS ((u64)GROUP_SIZE * UNROLL)

/* `i` and OFFSET are in vectors; so are `first` and `count`, a multiple of a chunk. */
#define AT(u) (i + OFFSET(u))
#if ORDER_HALVES
#define OFFSET(u) ((u) % (UNROLL / 2) * GROUP_SIZE + (u) / (UNROLL / 2) * half_vectors)
#define EACH_CHUNK_OF(first, count)                                                                           \
    const u64 half_vectors = (count) / 2;                                                                     \
    for (u64 round = 0, i = (first) + LOCAL_ID; i < (first) + half_vectors; ++round, i += CHUNK_VECTORS / 2)
#else
#define OFFSET(u) ((u) * GROUP_SIZE)
#define EACH_CHUNK_OF(first, count)                                                                           \
    for (u64 round = 0, i = (first) + LOCAL_ID; i < (first) + (count); ++round, i += CHUNK_VECTORS)
#endif

/* The chunks of this group: `rounds` of them, or fewer at the end of the array. */
#if ORDER_TILE || ORDER_HALVES
#define SMALLER(x, y) ((x) < (y) ? (x) : (y))
#define EACH_CHUNK                                                                                            \
    const u64 tile_first = SMALLER(GROUP_ID * rounds * CHUNK_VECTORS, vectors);                               \
    EACH_CHUNK_OF(tile_first, SMALLER(rounds * CHUNK_VECTORS, vectors - tile_first))
#else
#define FIRST(round) (((round) * GROUP_COUNT + GROUP_ID) * CHUNK_VECTORS + LOCAL_ID)
#define EACH_CHUNK for (u64 round = 0, i = FIRST(0); round < rounds && i < vectors; ++round, i = FIRST(round))
#endif
#define EACH_UNROLLED UNROLLED for (u32 u = 0; u < UNROLL; ++u)
#define EACH_LANE UNROLLED for (u32 lane = 0; lane < VECTOR_ELEMENTS; ++lane)

/* The sum over a group, in `scratch[0]`, which only the group's first work-item may read. */
#define ADD_OVER_GROUP(value)                                                                                 \
    scratch[LOCAL_ID] = value;                                                                                \
    for (u32 step = GROUP_SIZE / 2; step > 0; step /= 2) {                                                    \
        BARRIER;                                                                                              \
        if (LOCAL_ID < step) scratch[LOCAL_ID] += scratch[LOCAL_ID + step];                                   \
    }

#define STORE_GROUP_SUM(value, sums)                                                                          \
    ADD_OVER_GROUP(value)                                                                                     \
    if (LOCAL_ID == 0) sums[GROUP_ID] = scratch[0];

/* The elements of an array, of which each group owns a contiguous part: works well on CPUs and GPUs alike. */
#define EACH_ELEMENT                                                                                          \
    const u64 part = (count + GROUP_COUNT - 1) / GROUP_COUNT;                                                 \
    const u64 end = (GROUP_ID + 1) * part < count ? (GROUP_ID + 1) * part : count;                            \
    for (u64 i = GROUP_ID * part + LOCAL_ID; i < end; i += GROUP_SIZE)

/* Kernels that check an array against `expected`, the right word at `i`, computed from the numbers p, q, r and s:
   `check_` counts the wrong elements, modulo 2^32, and the work-items that found any: they cannot both wrap to 0;
   `report_` reports the first few as (`told`, the index; expected; actual), and is run only if there are any. */
#define CHECK_KERNELS(name, told, expected)                                                                   \
    KERNEL(check_##name)                                                                                      \
    (GLOBAL const WORD *a, u64 count, u64 p, u64 q, u64 r, u64 s, GLOBAL u32 *found) {                        \
        u32 wrong = 0;                                                                                        \
        EACH_ELEMENT wrong += (expected) != a[i];                                                             \
        if (wrong) {                                                                                          \
            ATOMIC_ADD(found, wrong);                                                                         \
            ATOMIC_ADD(found + 1, 1u);                                                                        \
        }                                                                                                     \
    }                                                                                                         \
    KERNEL(report_##name)                                                                                     \
    (GLOBAL const WORD *a, u64 count, u64 p, u64 q, u64 r, u64 s, GLOBAL u32 *found, GLOBAL u64 *reports) {   \
        EACH_ELEMENT {                                                                                        \
            const WORD right = expected;                                                                      \
            if (right != a[i]) {                                                                              \
                const u32 place = ATOMIC_ADD(found, 1u);                                                      \
                if (place < REPORTS) {                                                                        \
                    reports[3 * place] = told;                                                                \
                    reports[3 * place + 1] = right;                                                           \
                    reports[3 * place + 2] = a[i];                                                            \
                }                                                                                             \
            }                                                                                                 \
        }                                                                                                     \
    }

/* A kernel that adds up `term` over all `i` below `count`: the sums of all groups must add up to this. The sum of
   integers is exact in any order; an element left out or added twice shows, because they are pseudo-random. */
#define TOTAL_KERNEL(name, term)                                                                              \
    KERNEL(total_##name)(GLOBAL WORD *totals, u64 count, u64 p, u64 q, u64 r, u64 s) {                        \
        LOCAL WORD scratch[GROUP_SIZE];                                                                       \
        WORD sum = 0;                                                                                         \
        EACH_ELEMENT sum += (term);                                                                           \
        STORE_GROUP_SUM(sum, totals)                                                                          \
    }

/* Follows `steps` (a multiple of STEPS_UNROLLED) pointers from `at`; each load waits for the one before. */
#define STEPS_UNROLLED 16
FUNCTION GLOBAL const u64 *follow(GLOBAL const u64 *at, u64 steps) {
    for (u64 step = 0; step < steps; step += STEPS_UNROLLED) {
        UNROLLED for (u32 u = 0; u < STEPS_UNROLLED; ++u) at = (GLOBAL const u64 *)LOAD_GLOBAL(at);
    }
    return at;
}
