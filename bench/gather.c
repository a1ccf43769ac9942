/* Lines read at random places, for comparison: from a list of places made beforehand, by one thread a processor.

   Reads lines "BYTES" and answers each with the seconds of an access, over all threads. The list is a random order
   of all lines; it is read in sequence, four bytes an access, which is traffic too. Lines are fetched AHEAD
   accesses before they are needed. */

#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define LINE 64
#define HUGE_PAGE ((uintptr_t)2 << 20)
#define AHEAD 32
#define MAX_THREADS 1024

static const char *memory;
static uint32_t *places;
static uint64_t lines, threads, sums[MAX_THREADS * 8];
static pthread_barrier_t barrier;

static uint64_t state = 0x9E3779B97F4A7C15u;

static uint64_t random_below(uint64_t bound) { /* xorshift64* */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint64_t)(((__uint128_t)(state * 0x2545F4914F6CDD1Du) * bound) >> 64);
}

static void *gather(void *argument) {
    uint64_t number = (uint64_t)argument, first = lines * number / threads, end = lines * (number + 1) / threads;
    uint64_t sum = 0;
    pthread_barrier_wait(&barrier);
    for (uint64_t i = first; i < end; ++i) {
        __builtin_prefetch(memory + (uint64_t)places[i + AHEAD] * LINE);
        sum += *(const uint32_t *)(memory + (uint64_t)places[i] * LINE);
    }
    sums[number * 8] = sum;
    pthread_barrier_wait(&barrier);
    return NULL;
}

static void *pages_of(uint64_t bytes) {
    char *pages = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) exit(2);
    pages = (char *)(((uintptr_t)pages + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
    madvise(pages, bytes, MADV_HUGEPAGE);
    return pages;
}

static void prepare(uint64_t bytes) {
    lines = bytes / LINE;
    uint64_t *words = pages_of(bytes);
    for (uint64_t i = 0; i < bytes / sizeof *words; ++i) words[i] = i;
    memory = (const char *)words;
    places = pages_of((lines + AHEAD) * sizeof *places);
    for (uint64_t i = 0; i < lines + AHEAD; ++i) places[i] = (uint32_t)(i % lines);
    for (uint64_t i = lines - 1; i > 0; --i) {
        uint64_t other = random_below(i + 1);
        uint32_t kept = places[i];
        places[i] = places[other];
        places[other] = kept;
    }
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

int main(void) {
    uint64_t bytes;
    threads = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    while (scanf("%lu", &bytes) == 1) {
        if (bytes / LINE != lines) prepare(bytes);
        pthread_t others[MAX_THREADS];
        pthread_barrier_init(&barrier, NULL, (unsigned)threads + 1);
        for (uint64_t k = 0; k < threads; ++k)
            if (pthread_create(others + k, NULL, gather, (void *)k)) return 2;
        pthread_barrier_wait(&barrier);
        double begin = now();
        pthread_barrier_wait(&barrier);
        printf("%.6e\n", (now() - begin) / (double)lines);
        fflush(stdout);
        for (uint64_t k = 0; k < threads; ++k) pthread_join(others[k], NULL);
        pthread_barrier_destroy(&barrier);
    }
    return 0;
}
