/* A pointer chase, for comparison: one random cycle through all lines of a footprint on huge pages.

   Reads lines "BYTES STEPS" and answers each with the seconds of a step. The cycle is Sattolo's, made with
   another generator than gpubench's; the memory is the same size and is asked for as huge pages too. */

#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define LINE 64
#define HUGE_PAGE ((uintptr_t)2 << 20)

static uint64_t state = 0x9E3779B97F4A7C15u;

static uint64_t random_below(uint64_t bound) { /* xorshift64* */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint64_t)(((__uint128_t)(state * 0x2545F4914F6CDD1Du) * bound) >> 64);
}

static void link_nodes(char *memory, uint64_t nodes) {
    uint32_t *order = malloc(nodes * sizeof *order);
    if (!order) exit(2);
    for (uint64_t k = 0; k < nodes; ++k) order[k] = (uint32_t)k;
    for (uint64_t k = nodes - 1; k > 0; --k) {
        uint64_t other = random_below(k);
        uint32_t kept = order[k];
        order[k] = order[other];
        order[other] = kept;
    }
    for (uint64_t k = 0; k < nodes; ++k) *(char **)(memory + k * LINE) = memory + (uint64_t)order[k] * LINE;
    free(order);
}

static char *follow(char *at, uint64_t steps) {
    for (uint64_t step = 0; step < steps; step += 16) {
#define STEP at = *(char **)at;
        STEP STEP STEP STEP STEP STEP STEP STEP STEP STEP STEP STEP STEP STEP STEP STEP
    }
    return at;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

int main(void) {
    uint64_t bytes, steps, linked = 0;
    char *memory = NULL, *at = NULL;
    while (scanf("%lu %lu", &bytes, &steps) == 2) {
        if (bytes != linked) {
            char *pages = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (pages == MAP_FAILED) return 2;
            madvise(pages, bytes + HUGE_PAGE, MADV_HUGEPAGE);
            memory = (char *)(((uintptr_t)pages + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
            link_nodes(memory, bytes / LINE);
            at = follow(memory, bytes / LINE / 16 * 16);
            linked = bytes;
        }
        double begin = now();
        at = follow(at, steps);
        printf("%.6g\n", (now() - begin) / (double)steps);
        fflush(stdout);
    }
    return at == (char *)1;
}
