/* Latency under load: the first group follows pointers, and all other groups read until it has finished.

   `ended` counts finished walks, and each reading group counts its launches: while the two are equal, the walk of
   this launch is still running. So a group that starts after the walk is over, or on a core that gets to it
   late, reads nothing and never waits; and `limit` stops a group whose walk never starts.

   A reading group cycles through its own `chunks` chunks, starting where its last launch ended; a chunk is
   CHUNK_ROUNDS times UNROLL vectors for each work-item. After each chunk the group idles for `delay` turns, in
   slices. Before each slice it checks whether the walk has ended, because whatever groups do after the end is
   counted as time of the walk. */

typedef VECTOR_OF(WORD) wordvec;

#define ROUND_VECTORS ((u64)GROUP_SIZE * UNROLL)
#define LOADED_VECTORS (ROUND_VECTORS * CHUNK_ROUNDS)
#define IDLE_TURNS 256 /* in a slice: a few microseconds */
#define CHUNK_WORDS (LOADED_VECTORS * VECTOR_ELEMENTS)

/* The words of a reading group, on a cache line of its own: */
#define GROUP_WORDS 16
#define READ_CHUNKS 0
#define READ_SUM 1
#define READ_LAUNCHES 2
#define READ_CUT 3
#define READ_IDLE 4

/* If `alone`, the walk has its multiprocessor to itself: it writes to `ended[1]` which one that is, combined with
   the launch number, and readers that find themselves on it stop. Otherwise the walk also waits while readers
   on its multiprocessor take their turns. */
#define MOST_UNITS 4096
#define UNIT_MARK(launch) ((u32)(launch) * MOST_UNITS + UNIT_ID + 1)

/* Not unrolled, and resident: with the rounds of a chunk unrolled, it would need so many registers that only one
   group fits on a GPU's multiprocessor, and the others would start only after the walk had ended. */
RESIDENT_KERNEL(loaded_walk, GROUPS_AT_ONCE)
(GLOBAL u64 *state, u64 steps, GLOBAL u32 *ended, GLOBAL const wordvec *memory, GLOBAL u64 *groups, u64 chunks,
 u64 delay, u64 limit, u64 alone) {
    LOCAL WORD scratch[GROUP_SIZE];
    LOCAL u32 going[1];
    if (GROUP_ID == 0) {
        if (LOCAL_ID == 0) {
            if (alone) ATOMIC_ADD(ended + 1, UNIT_MARK(ATOMIC_ADD(ended, 0u)) - ended[1]);
            state[0] = (u64)follow((GLOBAL const u64 *)state[0], steps);
            state[1] += steps;
            ATOMIC_ADD(ended, 1u);
        }
    } else {
        const u64 reader = GROUP_ID - 1;
        GLOBAL u64 *own = groups + reader * GROUP_WORDS;
        const u64 before = own[READ_CHUNKS], launch = own[READ_LAUNCHES];
        u64 done = 0, left = 0, chunk = before % chunks;
        u32 idle = LOCAL_ID + 1; /* not 0: mix(0) is 0, and takes no time */
        wordvec sum[UNROLL];
        EACH_UNROLLED sum[u] = SPLAT(WORD, (WORD)0);
        while (done < limit) {
            BARRIER;
            if (LOCAL_ID == 0) going[0] = ATOMIC_ADD(ended, 0u) == (u32)launch;
            if (LOCAL_ID == 0 && alone && ATOMIC_ADD(ended + 1, 0u) == UNIT_MARK(launch)) going[0] = 0;
            BARRIER;
            if (!going[0]) break;
            if (!left) {
                const u64 begin = (reader * chunks + chunk) * LOADED_VECTORS + LOCAL_ID;
                ROLLED for (u64 i = begin; i < begin + LOADED_VECTORS; i += ROUND_VECTORS) {
                    wordvec x[UNROLL];
                    EACH_UNROLLED x[u] = memory[AT(u)];
                    EACH_UNROLLED sum[u] += x[u];
                }
                chunk = chunk + 1 == chunks ? 0 : chunk + 1;
                left = delay;
                ++done;
            }
            const u64 turns = left < IDLE_TURNS ? left : IDLE_TURNS;
            for (u64 turn = 0; turn < turns; ++turn) idle = mix(idle);
            left -= turns;
        }
        WORD total = 0;
        EACH_UNROLLED {
            EACH_LANE total += LANE(WORD, sum[u], lane);
        }
        BARRIER;
        ADD_OVER_GROUP(total)
        if (LOCAL_ID == 0) {
            own[READ_CHUNKS] = before + done;
            own[READ_SUM] += scratch[0];
            own[READ_LAUNCHES] = launch + 1;
            own[READ_CUT] += limit && done == limit; /* the walk may have continued without load */
            own[READ_IDLE] = idle; /* so that idling is not optimized away */
        }
    }
}

/* `count` words, starting at `first`. */
KERNEL(fill_chunks)(GLOBAL u64 *memory, u64 first, u64 count, u64 salt) {
    EACH_ELEMENT memory[first + i] = word_at(first + i, (u32)salt);
}

/* The expected sum of each of `count` chunks, starting at `first`, computed from the hash. */
KERNEL(sum_chunks)(GLOBAL u64 *sums, u64 first, u64 count, u64 salt) {
    EACH_ELEMENT {
        const u64 begin = (first + i) * CHUNK_WORDS;
        u64 sum = 0;
        for (u64 word = begin; word < begin + CHUNK_WORDS; ++word) sum += word_at(word, (u32)salt);
        sums[first + i] = sum;
    }
}

/* Checks that each of `count` groups summed the chunks that it claims to have read. */
KERNEL(check_readers)
(GLOBAL const u64 *groups, u64 count, u64 chunks, GLOBAL const u64 *sums, GLOBAL u32 *found, GLOBAL u64 *reports) {
    EACH_ELEMENT {
        const u64 read = groups[i * GROUP_WORDS + READ_CHUNKS], sum = groups[i * GROUP_WORDS + READ_SUM];
        u64 expected = 0;
        for (u64 chunk = 0; chunk < chunks; ++chunk)
            expected += sums[i * chunks + chunk] * (read / chunks + (chunk < read % chunks ? 1 : 0));
        if (sum != expected) {
            const u32 number = ATOMIC_ADD(found, 1u);
            ATOMIC_ADD(found + 1, 1u);
            if (number < REPORTS) {
                reports[3 * number] = i;
                reports[3 * number + 1] = expected;
                reports[3 * number + 2] = sum;
            }
        }
    }
}
