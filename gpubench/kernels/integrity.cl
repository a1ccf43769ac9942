/* Memory written with a pattern, and read back: every wrong word is counted, the first ones are told.

   A pattern is a value for each index: a counter with an odd step, which is another number for every address; a
   one that walks through the bits; or the counter with its upper bits folded into the lower ones, as good as
   random. Counters are invertible, folded or not, so that a wrong value tells whether it belongs to another
   address. `flip` is all ones for the pattern's complement, else 0. `first` is the index of the part's first
   word, a multiple of 16. */

#define ADDRESS 0
#define WALKING 1
#define RANDOM 2

typedef VECTOR_OF(WORD) wordvec;

#define PATTERN_ARGUMENTS u64 vectors, u64 rounds, u64 first, u64 salt, u64 flip

#if PATTERN == WALKING
/* `salt` is a multiple of 16, and no lane walks over the end of a word within a vector. */
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

/* The wrong words of a chunk, as (index, expected, actual, second read) behind those that were `told` before, of
   which there is room for ROWS. `found` counts this launch's. What was read is known by how it differs from what is
   right. The second read is at once: it may come from a cache, and `integrity_reread` comes later where nothing has
   been written over. */
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

/* The more a processor does with a vector, the fewer loads it has in flight: it is told what comes. */
#define AHEAD (2048 / (ELEMENT_BYTES * VECTOR_ELEMENTS))

/* Leaves in `x` what is not as it should be, all zeros where all is. */
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

/* Check, and write the complement where it was read: by plain stores, for what was read lies in a cache, and a store
   past it would have to find it there first. */
KERNEL(integrity_turn)
(GLOBAL wordvec *a, PATTERN_ARGUMENTS, u64 told, GLOBAL u32 *found, GLOBAL u64 *rows) {
    BEGIN_VALUES
    EACH_CHUNK {
        GLOBAL wordvec *here = a + i;
        CHECK_CHUNK
        EACH_UNROLLED here[OFFSET(u)] = VALUES(u) ^ turned ^ SPLAT(WORD, ~(WORD)0);
    }
}

/* The second read of those rows that lie in this part of `words` words. */
KERNEL(integrity_reread)(GLOBAL const volatile WORD *a, u64 first, u64 words, u64 count, GLOBAL u64 *rows) {
    EACH_ELEMENT {
        const u64 at = rows[4 * i] - first;
        if (at < words) rows[4 * i + 3] = a[at];
    }
}

/* One bit wrong in `count` words of a part, spread over all of it with the first and the last among them: what a
   check must find. */
KERNEL(integrity_spoil)(GLOBAL WORD *a, u64 words, u64 count) {
    EACH_ELEMENT {
        const u64 stride = words / count;
        const u64 at = i == 0 ? 0 : i == count - 1 ? words - 1 : i * stride + hash(i, 1) % stride;
        a[at] ^= (WORD)1 << (hash(i, 2) % 64);
    }
}
