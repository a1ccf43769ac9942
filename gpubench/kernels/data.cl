/* What the arrays hold: values that anyone can compute again from an index, and no memory compresses.

   ELEMENT is float or double, WORD (u32 or u64) the unsigned integer of the same width.
   Arrays are told apart by a salt, so that no two hold the same values. */

#if ELEMENT_BYTES == 4 || HAS_DOUBLE
#define HAS_ELEMENT 1 /* else WORD alone */
#endif

#define COUNTER_STEP ((WORD)0x9E3779B97F4A7C15UL)
#define SCALE_FACTOR ((ELEMENT)3)

/* "lowbias32" of Chris Wellons, https://nullprogram.com/blog/2018/07/31/: an invertible mixer of 32 bits.
   32 bits, because processors have no vector multiplication of 64. */
FUNCTION u32 mix(u32 x) {
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ (x >> 16);
}

FUNCTION u32 hash(u64 index, u32 salt) { return mix((u32)index ^ mix((u32)(index >> 32) ^ salt)); }

FUNCTION WORD word_at(u64 index, u32 salt) {
#if ELEMENT_BYTES == 4
    return hash(index, salt);
#else
    return ((u64)hash(2 * index + 1, salt) << 32) | hash(2 * index, salt);
#endif
}

#if HAS_ELEMENT

/* From 1 up to 2, every bit of the mantissa random: sums cannot cancel, no product is below 1. */
FUNCTION ELEMENT element_at(u64 index, u32 salt) {
#if ELEMENT_BYTES == 4
    return FLOAT_OF_BITS(0x3f800000u | (word_at(index, salt) >> 9));
#else
    return DOUBLE_OF_BITS(0x3ff0000000000000UL | (word_at(index, salt) >> 12));
#endif
}

FUNCTION WORD bits_of(ELEMENT value) {
#if ELEMENT_BYTES == 4
    return BITS_OF_FLOAT(value);
#else
    return BITS_OF_DOUBLE(value);
#endif
}

#endif

/* What `write` stores: a counter with an odd step from a hashed start, as costs no time. */
FUNCTION WORD counter_at(u64 index, u32 salt) { return (WORD)mix(salt) + (WORD)index * COUNTER_STEP; }

/* A counter with the product of its halves in it, a word or a vector of words: nearly as cheap, and neighbours
   have no common difference by which a memory could compress them. */
#define HALF_BITS (4 * ELEMENT_BYTES)
#define FOLDED(counter) ((counter) ^ (((counter) << HALF_BITS) >> HALF_BITS) * ((counter) >> HALF_BITS))

FUNCTION WORD folded_at(u64 index, u32 salt) {
    const WORD counter = counter_at(index, salt);
    return FOLDED(counter);
}
