/* Fills the inputs, poisons the outputs, and checks every element and every sum, on the device.

   The checks do not share the measured kernels' way of walking: expected values are computed from the index, and
   the elements that a group must have summed are enumerated one by one. Both use the values of data.cl; the host
   computes some of these itself and compares them with those of `tell_data` before anything is measured. */

#define OPERATION_COPY 0
#define OPERATION_SCALE 1
#define OPERATION_ADD 2
#define OPERATION_TRIAD 3
#define OPERATION_WRITE 4

#if HAS_ELEMENT
KERNEL(fill_elements)(GLOBAL ELEMENT *a, u64 count, u64 first, u64 salt) {
    EACH_ELEMENT a[i] = element_at(first + i, (u32)salt);
}
#endif

KERNEL(fill_words)(GLOBAL WORD *a, u64 count, u64 first, u64 salt) {
    EACH_ELEMENT a[i] = word_at(first + i, (u32)salt);
}

/* A word, the bits of an element, a counter and a folded counter, for each of `count` indices. */
KERNEL(tell_data)(GLOBAL WORD *rows, u64 count, u64 first, u64 salt) {
    EACH_ELEMENT {
        rows[4 * i] = word_at(first + i, (u32)salt);
#if HAS_ELEMENT
        rows[4 * i + 1] = bits_of(element_at(first + i, (u32)salt));
#endif
        rows[4 * i + 2] = counter_at(first + i, (u32)salt);
        rows[4 * i + 3] = folded_at(first + i, (u32)salt);
    }
}

/* All bits set is a NaN, so that an element that was never written is never right. */
KERNEL(poison)(GLOBAL WORD *a, u64 count) {
    EACH_ELEMENT a[i] = ~(WORD)0;
}

FUNCTION WORD expected_bits(u32 operation, u64 index, u32 salt_a, u32 salt_b) {
    switch (operation) {
#if HAS_ELEMENT
    case OPERATION_COPY: return bits_of(element_at(index, salt_a));
    case OPERATION_SCALE: return bits_of(SCALE_FACTOR * element_at(index, salt_a));
    case OPERATION_ADD: return bits_of(element_at(index, salt_a) + element_at(index, salt_b));
    case OPERATION_TRIAD: return bits_of(element_at(index, salt_a) + SCALE_FACTOR * element_at(index, salt_b));
#endif
    default: return counter_at(index, salt_a);
    }
}

FUNCTION WORD distance(WORD a, WORD b) { return a > b ? a - b : b - a; }

/* Counts the wrong elements, modulo 2^32, and the work-items that found any: they cannot both wrap to 0.
   `tolerance` is in units in the last place: 1 for a product plus a term, which may be fused or not. There is no
   branch in the loop, so that CPUs can check with vector instructions. */
KERNEL(check_elements)
(GLOBAL const WORD *a, u64 count, u64 first, u64 operation, u64 salt_a, u64 salt_b, u64 tolerance,
 GLOBAL u32 *found) {
    WORD wrong = 0;
#define COUNT_WRONG(OPERATION)                                                                                \
    EACH_ELEMENT wrong +=                                                                                     \
        distance(expected_bits(OPERATION, first + i, (u32)salt_a, (u32)salt_b), a[i]) > (WORD)tolerance;     \
    break;
    switch ((u32)operation) {
    case OPERATION_COPY: { COUNT_WRONG(OPERATION_COPY) }
    case OPERATION_SCALE: { COUNT_WRONG(OPERATION_SCALE) }
    case OPERATION_ADD: { COUNT_WRONG(OPERATION_ADD) }
    case OPERATION_TRIAD: { COUNT_WRONG(OPERATION_TRIAD) }
    default: { COUNT_WRONG(OPERATION_WRITE) }
    }
    if (wrong) {
        ATOMIC_ADD(found, (u32)wrong);
        ATOMIC_ADD(found + 1, 1u);
    }
}

/* Reports the first few wrong elements as (index, expected, actual); run only if there are any. */
KERNEL(report_elements)
(GLOBAL const WORD *a, u64 count, u64 first, u64 operation, u64 salt_a, u64 salt_b, u64 tolerance,
 GLOBAL u32 *found, GLOBAL u64 *reports) {
    EACH_ELEMENT {
        const WORD expected = expected_bits((u32)operation, first + i, (u32)salt_a, (u32)salt_b);
        if (distance(expected, a[i]) > (WORD)tolerance) {
            const u32 place = ATOMIC_ADD(found, 1u);
            if (place < REPORTS) {
                reports[3 * place] = first + i;
                reports[3 * place + 1] = expected;
                reports[3 * place + 2] = a[i];
            }
        }
    }
}

/* The total of an array filled by `fill_words`: p is its `first`, q its salt. */
TOTAL_KERNEL(words, word_at(p + i, (u32)q))

/* The start of the round-th chunk of a group. `tile` is set for orders that give each group a contiguous row of
   chunks; the sequence in which the group visits them does not affect the sum. */
FUNCTION u64 chunk_start(u64 group, u64 round, u64 groups, u64 rounds, u64 chunk_elements, u64 tile) {
    return (tile ? group * rounds + round : round * groups + group) * chunk_elements;
}

#define SUM_OVER_GROUP(type, term)                                                                            \
    type sum = 0;                                                                                             \
    for (u64 round = 0; round < rounds; ++round) {                                                            \
        const u64 start = chunk_start(GROUP_ID, round, GROUP_COUNT, rounds, chunk_elements, tile);            \
        if (start >= count) break;                                                                            \
        for (u64 i = start + LOCAL_ID; i < start + chunk_elements; i += GROUP_SIZE) sum += term;              \
    }                                                                                                         \
    scratch[LOCAL_ID] = sum;                                                                                  \
    for (u32 step = GROUP_SIZE / 2; step > 0; step /= 2) {                                                    \
        BARRIER;                                                                                              \
        if (LOCAL_ID < step) scratch[LOCAL_ID] += scratch[LOCAL_ID + step];                                   \
    }

/* Only the first work-item reads the sum: the others may get here before it has added the last two values. */
#define REPORT_SUM(wrong, expected_word, actual_word)                                                         \
    if (LOCAL_ID == 0 && (wrong)) {                                                                           \
        const u32 place = ATOMIC_ADD(found, 1u);                                                            \
        if (place < REPORTS) {                                                                                \
            reports[3 * place] = GROUP_ID;                                                                    \
            reports[3 * place + 1] = expected_word;                                                           \
            reports[3 * place + 2] = actual_word;                                                             \
        }                                                                                                     \
    }

/* Launched with as many groups as the kernel that computed `sums`. */
KERNEL(check_word_sums)
(GLOBAL const WORD *sums, u64 count, u64 first, u64 rounds, u64 chunk_elements, u64 tile, u64 salt_a, u64 salt_b,
 GLOBAL u32 *found, GLOBAL u64 *reports) {
    LOCAL WORD scratch[GROUP_SIZE];
    SUM_OVER_GROUP(WORD, word_at(first + i, (u32)salt_a))
    REPORT_SUM(scratch[0] != sums[GROUP_ID], scratch[0], sums[GROUP_ID])
}

#if HAS_DOUBLE

/* No product is below 1, so 0.5 separates a skipped element from rounding. A NaN is near nothing. */
FUNCTION int is_near(double a, double b) { return a - b < 0.5 && a - b > -0.5; }

KERNEL(check_product_sums)
(GLOBAL const double *sums, u64 count, u64 first, u64 rounds, u64 chunk_elements, u64 tile, u64 salt_a, u64 salt_b,
 GLOBAL u32 *found, GLOBAL u64 *reports) {
    LOCAL double scratch[GROUP_SIZE];
    SUM_OVER_GROUP(double, (double)element_at(first + i, (u32)salt_a) * (double)element_at(first + i, (u32)salt_b))
    REPORT_SUM(!is_near(scratch[0], sums[GROUP_ID]), BITS_OF_DOUBLE(scratch[0]), BITS_OF_DOUBLE(sums[GROUP_ID]))
}

#endif
