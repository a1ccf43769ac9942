/* Writes and copies different data with exactly the same instructions.

   A word is `base ^ (folded counter & mask)`. Zeros, ones, the checkerboard and the walking bit have a mask of 0
   and repeat after PERIOD words; a chunk and half a chunk are multiples of PERIOD. For random data the mask is
   all ones. */

typedef VECTOR_OF(WORD) wordvec;

#define ZEROS 0
#define ONES 1
#define CHECKERBOARD 2
#define WALKING 3
#define RANDOM 4
#define PERIOD 16

FUNCTION WORD base_at(u64 index, u32 pattern) {
    switch (pattern) {
    case ONES: return ~(WORD)0;
    case CHECKERBOARD: return (WORD)(index % 2 ? 0xAAAAAAAAAAAAAAAAUL : 0x5555555555555555UL);
    case WALKING: return (WORD)(0x0001000100010001UL << (index % PERIOD));
    default: return 0;
    }
}

/* `first` is a multiple of PERIOD. */
KERNEL(pattern_write)(GLOBAL wordvec *RESTRICT a, u64 vectors, u64 rounds, u64 first, u64 salt, u64 pattern) {
    const wordvec mask = SPLAT(WORD, pattern == RANDOM ? ~(WORD)0 : (WORD)0);
    wordvec start, base[UNROLL];
    EACH_LANE LANE(WORD, start, lane) = counter_at(first + lane, (u32)salt);
    EACH_UNROLLED {
        EACH_LANE LANE(WORD, base[u], lane) =
            base_at(((u64)LOCAL_ID + u * GROUP_SIZE) * VECTOR_ELEMENTS + lane, (u32)pattern);
    }
    EACH_CHUNK EACH_UNROLLED {
        const wordvec counter = start + SPLAT(WORD, (WORD)(AT(u) * VECTOR_ELEMENTS) * COUNTER_STEP);
        STORE(a + AT(u), base[u] ^ (FOLDED(counter) & mask));
    }
}

KERNEL(pattern_copy)(GLOBAL const wordvec *RESTRICT a, GLOBAL wordvec *RESTRICT b, u64 vectors, u64 rounds) {
    EACH_CHUNK {
        wordvec x[UNROLL];
        EACH_UNROLLED x[u] = a[AT(u)];
        EACH_UNROLLED STORE(b + AT(u), x[u]);
    }
}

FUNCTION WORD right_word(u64 index, u32 salt, u32 pattern) {
    return pattern == RANDOM ? folded_at(index, salt) : base_at(index, pattern);
}

/* p is the index of the first element, q the salt, r the pattern. */
CHECK_KERNELS(pattern, p + i, right_word(p + i, (u32)q, (u32)r))
