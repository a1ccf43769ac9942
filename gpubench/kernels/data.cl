/* The contents of the arrays: values that can be recomputed from an index and that no memory can compress.

   ELEMENT is float or double, WORD (u32 or u64) the unsigned integer of the same width.
   Each array has its own salt, so that no two hold the same values. */

#if ELEMENT_BYTES == 4 || HAS_DOUBLE
#define HAS_ELEMENT 1 /* otherwise only WORD is available */
#endif

#define COUNTER_STEP ((WORD)0x9E3779B97F4A7C15UL)
#define SCALE_FACTOR ((ELEMENT)3)

/* "lowbias32" by Chris Wellons, https://nullprogram.com/blog/2018/07/31/: an invertible 32-bit mixer.
   32 bits, because CPUs have no 64-bit vector multiplication. */
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

/* From 1 up to 2, every bit of the mantissa random: sums cannot cancel, and no product is below 1. */
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

/* What `write` stores: a counter with an odd step from a hashed start, which costs no time to compute. */
FUNCTION WORD counter_at(u64 index, u32 salt) { return (WORD)mix(salt) + (WORD)index * COUNTER_STEP; }

/* A counter (a word or a vector of words) with the product of its halves mixed in: nearly as cheap, and
   neighbours have no constant difference that a memory could use to compress them. */
#define HALF_BITS (4 * ELEMENT_BYTES)
#define FOLDED(counter) ((counter) ^ (((counter) << HALF_BITS) >> HALF_BITS) * ((counter) >> HALF_BITS))

FUNCTION WORD folded_at(u64 index, u32 salt) {
    const WORD counter = counter_at(index, salt);
    return FOLDED(counter);
}
