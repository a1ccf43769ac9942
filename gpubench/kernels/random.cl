/* Pieces of memory at random places, each of them once.

   Memory is `blocks` times 2^LOW_BITS pieces of PIECE_WORDS words; a thread takes a vector, and PARTS of them are
   a piece. The i-th access goes to place_of(i), made on the fly so that no list of indices disturbs the traffic:
   three rounds of a Feistel network with one half below `blocks` and the other below 2^LOW_BITS, each round
   adding to one half a hash of the other. So it is a bijection, for any number of blocks, and its inverse takes
   the rounds back: that is what the checks use, and a place that should not have been touched shows as well. */

typedef VECTOR_OF(WORD) wordvec;

#define LOW_BITS 12
#define LOW_MASK ((1u << LOW_BITS) - 1)

/* Lighter than `mix`: an index should cost less than the access. */
FUNCTION u32 stir(u32 x) {
    x *= 0x9E3779B1u;
    x ^= x >> 15;
    x *= 0x85EBCA77u;
    return x ^ (x >> 13);
}

FUNCTION u32 below(u32 blocks, u32 hashed) { return (u32)(((u64)hashed * blocks) >> 32); }
FUNCTION u32 plus(u32 x, u32 y, u32 blocks) { return x + y >= blocks ? x + y - blocks : x + y; }
FUNCTION u32 minus(u32 x, u32 y, u32 blocks) { return x >= y ? x - y : x + blocks - y; }

#define FIRST_ROUND below(blocks, stir(low ^ salt))
#define SECOND_ROUND (stir(high + salt) >> (32 - LOW_BITS))
#define THIRD_ROUND below(blocks, stir(low ^ ~salt))

FUNCTION u64 place_of(u64 number, u32 blocks, u32 salt) {
    u32 high = (u32)(number >> LOW_BITS), low = (u32)number & LOW_MASK;
    high = plus(high, FIRST_ROUND, blocks);
    low ^= SECOND_ROUND;
    high = plus(high, THIRD_ROUND, blocks);
    return ((u64)high << LOW_BITS) | low;
}

FUNCTION u64 number_of(u64 place, u32 blocks, u32 salt) {
    u32 high = (u32)(place >> LOW_BITS), low = (u32)place & LOW_MASK;
    high = minus(high, THIRD_ROUND, blocks);
    low ^= SECOND_ROUND;
    high = minus(high, FIRST_ROUND, blocks);
    return ((u64)high << LOW_BITS) | low;
}

/* Where the vectors of a chunk lie, all of them known before the first access. */
#define EACH_PLACE                                                                                            \
    u64 place[UNROLL];                                                                                        \
    EACH_UNROLLED place[u] = place_of(AT(u) / PARTS, (u32)blocks, (u32)salt) * PARTS + AT(u) % PARTS;

KERNEL(random_gather)
(GLOBAL const wordvec *RESTRICT a, GLOBAL WORD *RESTRICT sums, u64 vectors, u64 rounds, u64 blocks, u64 salt) {
    LOCAL WORD scratch[GROUP_SIZE];
    wordvec sum = SPLAT(WORD, (WORD)0);
    EACH_CHUNK {
        EACH_PLACE
        wordvec x[UNROLL];
        EACH_UNROLLED x[u] = a[place[u]];
        EACH_UNROLLED sum += x[u];
    }
    WORD total = 0;
    EACH_LANE total += LANE(WORD, sum, lane);
    STORE_GROUP_SUM(total, sums)
}

/* Every place gets the counter of its own index. */
KERNEL(random_scatter)
(GLOBAL wordvec *RESTRICT a, GLOBAL WORD *RESTRICT sums, u64 vectors, u64 rounds, u64 blocks, u64 salt) {
    wordvec start;
    EACH_LANE LANE(WORD, start, lane) = counter_at(lane, (u32)salt);
    EACH_CHUNK {
        EACH_PLACE
        EACH_UNROLLED STORE(a + place[u], start + SPLAT(WORD, (WORD)place[u] * VECTOR_ELEMENTS * (WORD)COUNTER_STEP));
    }
}

/* What is added to every word of a vector: never 0, and not undone by the next pass as an exclusive or would be. */
#define ADDED(vector) ((WORD)(vector) * 2 + 1)

/* The first word of `sums` counts the passes. */
KERNEL(random_update)
(GLOBAL wordvec *RESTRICT a, GLOBAL WORD *RESTRICT sums, u64 vectors, u64 rounds, u64 blocks, u64 salt) {
    EACH_CHUNK {
        EACH_PLACE
        wordvec x[UNROLL];
        EACH_UNROLLED x[u] = a[place[u]];
        EACH_UNROLLED a[place[u]] = x[u] + SPLAT(WORD, ADDED(place[u]));
    }
    if (GROUP_ID == 0 && LOCAL_ID == 0) sums[0] += 1;
}

/* p is the number of pieces that are touched, q of blocks, r the salt, s of passes; `i` counts words. */
#define TOUCHED (number_of(i / PIECE_WORDS, (u32)q, (u32)r) < p)
TOTAL_KERNEL(gather, TOUCHED ? word_at(i, (u32)r) : 0)
CHECK_KERNELS(scatter, i, TOUCHED ? counter_at(i, (u32)r) : ~(WORD)0)
CHECK_KERNELS(update, i, word_at(i, (u32)r) + (TOUCHED ? (WORD)s * ADDED(i / VECTOR_ELEMENTS) : 0))
