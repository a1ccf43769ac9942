/* Accesses pieces of memory at random places, each piece once.

   Memory is `blocks` times 2^LOW_BITS pieces of PIECE_WORDS words; a work-item accesses one vector at a time, and
   PARTS vectors make up a piece. The place of an access is computed on the fly (find_places), so that no list of
   indices disturbs the traffic: three rounds of a Feistel network with one half below `blocks` and the other
   below 2^LOW_BITS, where each round adds a hash of one half to the other. This is a bijection for any number of
   blocks, and its inverse runs the rounds backwards. The checks use the inverse, so they also find places that
   should not have been touched. */

typedef VECTOR_OF(WORD) wordvec;

#define LOW_BITS 12
#define LOW_MASK ((1u << LOW_BITS) - 1)

/* All of these take a number or a vector. Cheaper than `mix`: an index should cost less than its access. */
#define SHIFTED(x, bits) ((x) ^ ((x) >> (bits)))
#define STIR(x) SHIFTED(SHIFTED((x) * 0x9E3779B1u, 15) * 0x85EBCA77u, 13)
#define PLUS(x, y) ((x) + (y) >= blocks ? (x) + (y) - blocks : (x) + (y))
#define MINUS(x, y) ((x) >= (y) ? (x) - (y) : (x) + blocks - (y))

/* The results of the first and third rounds are below `blocks`. */
#define FIRST_ROUND MUL_HI(STIR(low ^ salt), blocks)
#define SECOND_ROUND (STIR(high + salt) >> (32 - LOW_BITS))
#define THIRD_ROUND MUL_HI(STIR(low ^ ~salt), blocks)

/* The places of LANES accesses, from `vector` on. PARTS accesses make up one piece; the numbers of all their
   pieces are in the same block. */
FUNCTION void find_places(u64s *places, u64 vector, u32 block_count, u32 salt) {
    const u64 number = vector / PARTS;
    const u32s blocks = (u32s)(block_count);
    u32s high = (u32s)((u32)(number >> LOW_BITS));
    u32s low = (u32s)((u32)number & LOW_MASK) + LANE_NUMBERS / PARTS;
    high = PLUS(high, FIRST_ROUND);
    low ^= SECOND_ROUND;
    high = PLUS(high, THIRD_ROUND);
    const u64s piece = (TO_U64S(high) << LOW_BITS) | TO_U64S(low);
    *places = piece * PARTS + TO_U64S(((u32s)((u32)vector) + LANE_NUMBERS) % PARTS);
}

FUNCTION u64 number_of(u64 place, u32 blocks, u32 salt) {
    u32 high = (u32)(place >> LOW_BITS), low = (u32)place & LOW_MASK;
    high = MINUS(high, THIRD_ROUND);
    low ^= SECOND_ROUND;
    high = MINUS(high, FIRST_ROUND);
    return ((u64)high << LOW_BITS) | low;
}

/* The places of the vectors of a chunk from `first` on, in GROUPS groups of GROUP_PLACES. */
#if LANES == 1
#define GROUP_PLACES UNROLL
#elif ORDER_TILE
#define GROUP_PLACES LANES
#else
#error "a processor finds its next chunk behind this one, which is so in the order TILE alone"
#endif
#define GROUPS (UNROLL / GROUP_PLACES)
#define PLACE(u) (((const u64 *)places)[u])
#define FIND_GROUP(group, first)                                                                              \
    UNROLLED for (u32 k = (group) * GROUP_PLACES; k < ((group) + 1) * GROUP_PLACES; k += LANES)               \
        find_places(places + k / LANES, (first) + OFFSET(k), (u32)blocks, (u32)salt);

/* Accesses the places of all chunks, group by group: `load` and then `use` for each place of a group. A GPU's groups
   of threads wait for one another's loads. A processor instead computes the places of the next chunk between the
   accesses to this one, and `fetch` gets the address of each, so that no access waits for arithmetic. */
#define EACH_PLACE(fetch, load, use)                                                                          \
    u64s places[UNROLL / LANES];                                                                              \
    EACH_CHUNK {                                                                                              \
        if (LANES == 1 || round == 0) {                                                                       \
            UNROLLED for (u32 group = 0; group < GROUPS; ++group) { FIND_GROUP(group, i) }                    \
        }                                                                                                     \
        UNROLLED for (u32 group = 0; group < GROUPS; ++group) {                                               \
            wordvec x[GROUP_PLACES];                                                                          \
            UNROLLED for (u32 u = 0; u < GROUP_PLACES; ++u) { load(x[u], PLACE(group * GROUP_PLACES + u)) }   \
            UNROLLED for (u32 u = 0; u < GROUP_PLACES; ++u) { use(x[u], PLACE(group * GROUP_PLACES + u)) }    \
            if (LANES > 1) {                                                                                  \
                FIND_GROUP(group, i + CHUNK_VECTORS)                                                          \
                UNROLLED for (u32 u = 0; u < GROUP_PLACES; ++u) fetch(a + PLACE(group * GROUP_PLACES + u));   \
            }                                                                                                 \
        }                                                                                                     \
    }

#define LOAD(x, place) x = a[place];
#define NO_LOAD(x, place)
#define NO_FETCH(pointer) /* stores wait for nothing */

KERNEL(random_gather)
(GLOBAL const wordvec *RESTRICT a, GLOBAL WORD *RESTRICT sums, u64 vectors, u64 rounds, u64 blocks, u64 salt) {
    LOCAL WORD scratch[GROUP_SIZE];
    wordvec sum = SPLAT(WORD, (WORD)0);
#define ADD_TO_SUM(x, place) sum += x;
    EACH_PLACE(PREFETCH, LOAD, ADD_TO_SUM)
    WORD total = 0;
    EACH_LANE total += LANE(WORD, sum, lane);
    STORE_GROUP_SUM(total, sums)
}

/* Every place gets the counter of its own index. */
KERNEL(random_scatter)
(GLOBAL wordvec *RESTRICT a, GLOBAL WORD *RESTRICT sums, u64 vectors, u64 rounds, u64 blocks, u64 salt) {
    wordvec start;
    EACH_LANE LANE(WORD, start, lane) = counter_at(lane, (u32)salt);
#define STORE_COUNTER(x, place)                                                                               \
    STORE(a + (place), start + SPLAT(WORD, (WORD)(place) * VECTOR_ELEMENTS * (WORD)COUNTER_STEP));
    EACH_PLACE(NO_FETCH, NO_LOAD, STORE_COUNTER)
}

/* Added to every word of a vector: never 0, and not undone by the next pass, as an exclusive or would be. */
#define ADDED(vector) ((WORD)(vector) * 2 + 1)

/* The first word of `sums` counts the passes. */
KERNEL(random_update)
(GLOBAL wordvec *RESTRICT a, GLOBAL WORD *RESTRICT sums, u64 vectors, u64 rounds, u64 blocks, u64 salt) {
#define ADD_AND_STORE(x, place) a[place] = x + SPLAT(WORD, ADDED(place));
    EACH_PLACE(PREFETCH, LOAD, ADD_AND_STORE)
    if (GROUP_ID == 0 && LOCAL_ID == 0) sums[0] += 1;
}

/* p is the number of pieces accessed, q that of blocks, r the salt, s the number of passes; `i` counts words. */
#define TOUCHED (number_of(i / PIECE_WORDS, (u32)q, (u32)r) < p)
TOTAL_KERNEL(gather, TOUCHED ? word_at(i, (u32)r) : 0)
CHECK_KERNELS(scatter, i, TOUCHED ? counter_at(i, (u32)r) : ~(WORD)0)
CHECK_KERNELS(update, i, word_at(i, (u32)r) + (TOUCHED ? (WORD)s * ADDED(i / VECTOR_ELEMENTS) : 0))
