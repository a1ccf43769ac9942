/* The latency family: one work-item follows pointers, each of which is known only once the previous one has
   been loaded.

   The footprint is an array of nodes of NODE_WORDS words, one cache line each. A walk visits all of them in a
   single cycle: its k-th node is at place(k), and place is a bijection. For each walking order a node holds two
   words, starting at `word`: the address of the next node's words, and its own k. It holds addresses, not
   indices, because an addition in each step would count as latency; a buffer never moves during its lifetime.

   check_links verifies that every node j has a k with place(k) = j: then the nodes form one cycle, and a walk
   of n steps from the first node ends at the node whose k is n modulo the number of nodes. */

#define WORDS_OF(node) (memory + (node) * NODE_WORDS + word)

/* A bijection of 0 to `mask`, which is a power of two minus one; each `twist` gives a different one.
   Multiplications by odd factors and right shifts by half the bits (`shift`, at least 1) can be undone. */
#define ROUNDS 3
#define FACTOR(round) (word_at(2 * (round), salt) | 1)
#define SUMMAND(round) word_at(2 * (round) + 1, salt)

FUNCTION u64 shuffled(u64 x, u64 mask, u64 shift, u32 salt, u32 twist) {
    UNROLLED for (u32 round = 0; round < ROUNDS; ++round) {
        x = ((x * FACTOR(round) + SUMMAND(round)) ^ twist) & mask;
        x ^= x >> shift;
    }
    return x;
}

/* Newton's iteration: each round doubles the number of correct bits, and an odd number itself starts with 3. */
FUNCTION u64 inverse(u64 odd) {
    u64 x = odd;
    UNROLLED for (u32 round = 0; round < 5; ++round) x *= 2 - odd * x;
    return x;
}

FUNCTION u64 unshuffled(u64 x, u64 mask, u64 shift, u32 salt, u32 twist) {
    UNROLLED for (u32 left = ROUNDS; left > 0; --left) {
        const u32 round = left - 1;
        x ^= x >> shift;
        x = ((x ^ twist) - SUMMAND(round)) * inverse(FACTOR(round)) & mask;
    }
    return x;
}

/* The node at step k of the walk: the order is random within a page, and pages follow one another. */
FUNCTION u64 place(u64 k, u64 nodes, u64 page_nodes, u64 mask, u64 shift, u64 salt) {
    const u64 page = k / page_nodes, first = page * page_nodes;
    const u64 count = nodes - first < page_nodes ? nodes - first : page_nodes;
    u64 x = k - first;
    /* Repeated within the larger power of two until it is below `count`, it is a bijection there too. */
    do x = shuffled(x, mask, shift, (u32)salt, hash(page, (u32)salt));
    while (x >= count);
    return first + x;
}

/* The step at which the walk reaches a node. Nodes are linked with it and checked with its inverse. */
FUNCTION u64 step_at(u64 node, u64 nodes, u64 page_nodes, u64 mask, u64 shift, u64 salt) {
    const u64 page = node / page_nodes, first = page * page_nodes;
    const u64 count = nodes - first < page_nodes ? nodes - first : page_nodes;
    u64 x = node - first;
    do x = unshuffled(x, mask, shift, (u32)salt, hash(page, (u32)salt));
    while (x >= count);
    return first + x;
}

#define PLACE(k) place((k) == nodes ? 0 : (k), nodes, page_nodes, mask, shift, salt)
#define WALK u64 nodes, u64 page_nodes, u64 mask, u64 shift, u64 salt, u64 word

/* `count` nodes, starting at `first`. */
KERNEL(link_nodes)(GLOBAL u64 *memory, WALK, u64 first, u64 count) {
    EACH_ELEMENT {
        const u64 node = first + i;
        const u64 k = step_at(node, nodes, page_nodes, mask, shift, salt);
        WORDS_OF(node)[0] = (u64)WORDS_OF(PLACE(k + 1));
        WORDS_OF(node)[1] = k;
    }
}

KERNEL(check_links)
(GLOBAL const u64 *memory, WALK, u64 first, u64 count, GLOBAL u32 *found, GLOBAL u64 *reports) {
    EACH_ELEMENT {
        const u64 node = first + i, next = WORDS_OF(node)[0], k = WORDS_OF(node)[1];
        const u64 known = k < nodes && PLACE(k) == node;
        const u64 expected = known ? (u64)WORDS_OF(PLACE(k + 1)) : 0;
        if (!known || next != expected) {
            const u32 number = ATOMIC_ADD(found, 1u);
            ATOMIC_ADD(found + 1, 1u);
            if (number < REPORTS) {
                reports[3 * number] = node;
                reports[3 * number + 1] = expected;
                reports[3 * number + 2] = next;
            }
        }
    }
}

/* `state`: the address that the walk has reached, and the number of steps since its start. */
KERNEL(begin_walk)(GLOBAL u64 *memory, WALK, u64 start, GLOBAL u64 *state) {
    if (GROUP_ID == 0 && LOCAL_ID == 0) {
        state[0] = (u64)WORDS_OF(PLACE(start));
        state[1] = 0;
    }
}

/* Continues where the last launch ended: the nodes that a short walk has already visited are in a cache. */
KERNEL(chase)(GLOBAL u64 *state, u64 steps) {
    state[0] = (u64)follow((GLOBAL const u64 *)state[0], steps);
    state[1] += steps;
}

/* The number of the node that the walk has reached, not its address, which only the device can follow. */
KERNEL(end_walk)(GLOBAL const u64 *state, GLOBAL u64 *ended) {
    if (GROUP_ID == 0 && LOCAL_ID == 0) {
        ended[0] = ((GLOBAL const u64 *)state[0])[1];
        ended[1] = state[1];
    }
}
