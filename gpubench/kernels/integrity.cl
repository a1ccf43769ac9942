/* Writes a pattern to memory and reads it back: every wrong word is counted, and the first ones are reported.

   A pattern is a value for each index: a counter with an odd step, which has a different value at every
   address; a single 1 that walks through the bits; or the counter with its upper bits folded into the lower
   ones, which is as good as random. Counters are invertible, folded or not, so that a wrong value shows whether
   it belongs to another address. `flip` is all ones for the pattern's complement, otherwise 0. `first` is the
   index of the part's first word, a multiple of 16. */

#define ADDRESS 0
#define WALKING 1
#define RANDOM 2

typedef VECTOR_OF(WORD) wordvec;

#define PATTERN_ARGUMENTS u64 vectors, u64 rounds, u64 first, u64 salt, u64 flip

#if PATTERN == WALKING
/* `salt` is a multiple of 16, so that no lane's bit passes the end of the word within a vector. */
#define VALUE_AT(index) ((WORD)1 << (((index) + salt) % 64))
#define START(lane) ((WORD)1 << (lane))
#define BEGIN_CHUNK
#define VALUES(u) (start << (int)((first + AT(u) * VECTOR_ELEMENTS + salt) % 64))
#else
#if PATTERN == RANDOM
#define SHOWN(counter) ((counter) ^ ((counter) >> 23))
#else
#define SHOWN(counter) (counter)
#endif
#define VALUE_AT(index) SHOWN(counter_at(index, (u32)salt))
#define START(lane) counter_at(first + (lane), (u32)salt)
#define STEPS(vectors) SPLAT(WORD, (WORD)((vectors) * VECTOR_ELEMENTS) * COUNTER_STEP)
#define BEGIN_CHUNK const wordvec counters = start + STEPS(i);
#define COUNTERS(u) (counters + STEPS(OFFSET(u)))
#define VALUES(u) SHOWN(COUNTERS(u))
#endif

#define BEGIN_VALUES                                                                                          \
    const wordvec turned = SPLAT(WORD, (WORD)flip);                                                           \
    wordvec start;                                                                                            \
    EACH_LANE LANE(WORD, start, lane) = START(lane);

KERNEL(integrity_write)(GLOBAL wordvec *RESTRICT a, PATTERN_ARGUMENTS) {
    BEGIN_VALUES
    EACH_CHUNK {
        BEGIN_CHUNK
        EACH_UNROLLED STORE(a + AT(u), VALUES(u) ^ turned);
    }
}

/* Reports the wrong words of a chunk as (index, expected, actual, second read), after the `told` words already
   reported; there is room for ROWS in all. `found` counts those of this launch. The actual value is computed from
   the expected one and the bits that differ. The second read is immediate and may come from a cache;
   `integrity_reread` reads the word again later if it has not been overwritten. */
#define TELL_WRONG                                                                                            \
    WORD other[UNROLL * VECTOR_ELEMENTS];                                                                     \
    EACH_UNROLLED {                                                                                           \
        EACH_LANE other[u * VECTOR_ELEMENTS + lane] = LANE(WORD, x[u], lane);                                 \
    }                                                                                                         \
    for (u32 k = 0; k < UNROLL * VECTOR_ELEMENTS; ++k) {                                                      \
        if (other[k]) {                                                                                       \
            const u64 at = AT(k / VECTOR_ELEMENTS) * VECTOR_ELEMENTS + k % VECTOR_ELEMENTS;                   \
            const u64 place = told + ATOMIC_ADD(found, 1u);                                                   \
            if (place < ROWS) {                                                                               \
                const WORD right = VALUE_AT(first + at) ^ (WORD)flip;                                         \
                rows[4 * place] = first + at;                                                                 \
                rows[4 * place + 1] = right;                                                                  \
                rows[4 * place + 2] = right ^ other[k];                                                       \
                rows[4 * place + 3] = ((GLOBAL const volatile WORD *)a)[at];                                  \
            }                                                                                                 \
        }                                                                                                     \
    }

/* The more work a CPU does for each vector, the fewer loads it has in flight: so the next ones are prefetched. */
#define AHEAD (2048 / (ELEMENT_BYTES * VECTOR_ELEMENTS))

/* Leaves in `x` the bits that are wrong: all zeros if none are. */
#define CHECK_CHUNK                                                                                           \
    BEGIN_CHUNK                                                                                               \
    wordvec x[UNROLL], wrong = SPLAT(WORD, (WORD)0);                                                          \
    EACH_UNROLLED x[u] = here[OFFSET(u)];                                                                     \
    EACH_UNROLLED {                                                                                           \
        x[u] = VALUES(u) ^ turned ^ x[u];                                                                     \
        wrong = wrong | x[u];                                                                                 \
    }                                                                                                         \
    EACH_UNROLLED PREFETCH(here + OFFSET(u) + AHEAD);                                                         \
    WORD any = 0;                                                                                             \
    EACH_LANE any |= LANE(WORD, wrong, lane);                                                                 \
    if (any) { TELL_WRONG }

KERNEL(integrity_check)
(GLOBAL const wordvec *RESTRICT a, PATTERN_ARGUMENTS, u64 told, GLOBAL u32 *found, GLOBAL u64 *rows) {
    BEGIN_VALUES
    EACH_CHUNK {
        GLOBAL const wordvec *here = a + i;
        CHECK_CHUNK
    }
}

/* Checks, and writes the complement to the same place. With ordinary stores: the data read is in a cache, and a
   store that bypasses the cache would have to look it up there first. */
KERNEL(integrity_turn)
(GLOBAL wordvec *a, PATTERN_ARGUMENTS, u64 told, GLOBAL u32 *found, GLOBAL u64 *rows) {
    BEGIN_VALUES
    EACH_CHUNK {
        GLOBAL wordvec *here = a + i;
        CHECK_CHUNK
        EACH_UNROLLED here[OFFSET(u)] = VALUES(u) ^ turned ^ SPLAT(WORD, ~(WORD)0);
    }
}

/* Repeats the second read for the rows whose words are in this part, which has `words` words. */
KERNEL(integrity_reread)(GLOBAL const volatile WORD *a, u64 first, u64 words, u64 count, GLOBAL u64 *rows) {
    EACH_ELEMENT {
        const u64 at = rows[4 * i] - first;
        if (at < words) rows[4 * i + 3] = a[at];
    }
}

/* Flips one bit in each of `count` words, which are spread over the whole part and include its first and last
   word. A check must find them all. */
KERNEL(integrity_spoil)(GLOBAL WORD *a, u64 words, u64 count) {
    EACH_ELEMENT {
        const u64 stride = words / count;
        const u64 at = i == 0 ? 0 : i == count - 1 ? words - 1 : i * stride + hash(i, 1) % stride;
        a[at] ^= (WORD)1 << (hash(i, 2) % 64);
    }
}
