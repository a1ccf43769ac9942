/* The latency family: one item follows pointers, each of which it knows only when the one before has come.

   The footprint is a row of nodes of NODE_WORDS, a line each. A walk goes through all of them in one single
   cycle: its k-th node lies at place(k), and place is a bijection. A node holds two words for each order of
   walking, from `word` on: the address of the next node's words, and its own k. Addresses, because an
   addition for each step would count as latency; a buffer stays where it is while it lives.

   That every node j has a k with place(k) = j is what check_links counts out: then the nodes are one cycle,
   and a walk of n steps from the first one ends where the k is n modulo their number. */

#define WORDS_OF(node) (memory + (node) * NODE_WORDS + word)

/* A bijection of 0 to `mask`, one less than a power of two, and another one for each `twist`. Odd factors and
   shifts to the right by half the bits (`shift`, 1 at least) can be undone. */
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

/* Newton's iteration: each round doubles the bits that are right, of which an odd number itself has 3. */
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

/* The node where step k of the walk is: in random order within a page, page after page. */
FUNCTION u64 place(u64 k, u64 nodes, u64 page_nodes, u64 mask, u64 shift, u64 salt) {
    const u64 page = k / page_nodes, first = page * page_nodes;
    const u64 count = nodes - first < page_nodes ? nodes - first : page_nodes;
    u64 x = k - first;
    /* Walking on within the larger power of two keeps it a bijection of what is below `count`. */
    do x = shuffled(x, mask, shift, (u32)salt, hash(page, (u32)salt));
    while (x >= count);
    return first + x;
}

/* The step that comes to a node. Nodes are linked by it and checked by its opposite. */
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

/* `count` nodes from `first` on. */
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

/* state: the address where the walk is, and the steps since its begin. */
KERNEL(begin_walk)(GLOBAL u64 *memory, WALK, u64 start, GLOBAL u64 *state) {
    if (GROUP_ID == 0 && LOCAL_ID == 0) {
        state[0] = (u64)WORDS_OF(PLACE(start));
        state[1] = 0;
    }
}

/* Goes on from where the last launch ended: what a short walk went through before lies in a cache. */
KERNEL(chase)(GLOBAL u64 *state, u64 steps) {
    state[0] = (u64)follow((GLOBAL const u64 *)state[0], steps);
    state[1] += steps;
}

/* The number of the node where the walk is, in place of its address: only the device may follow that. */
KERNEL(end_walk)(GLOBAL const u64 *state, GLOBAL u64 *ended) {
    if (GROUP_ID == 0 && LOCAL_ID == 0) {
        ended[0] = ((GLOBAL const u64 *)state[0])[1];
        ended[1] = state[1];
    }
}
