/* STREAM-style loops, for comparison: copy, triad, read and write of doubles, with OpenMP.

   Reads lines "KERNEL SECONDS" and answers each with GB/s over the memory bus as gpubench counts it:
   read and write once the array, copy twice, triad three times. The arrays together have the given
   bytes for each kernel. */

#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double *memory;
static double sink;

static void pass(const char *kernel, double *restrict a, double *restrict b, double *restrict c, int64_t n) {
    if (!strcmp(kernel, "copy")) {
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < n; ++i) b[i] = a[i];
    } else if (!strcmp(kernel, "triad")) {
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < n; ++i) c[i] = a[i] + 3.0 * b[i];
    } else if (!strcmp(kernel, "read")) {
        double sum = 0;
#pragma omp parallel for simd schedule(static) reduction(+ : sum)
        for (int64_t i = 0; i < n; ++i) sum += a[i];
        sink += sum;
    } else {
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < n; ++i) a[i] = (double)i;
    }
}

int main(int argc, char **argv) {
    int64_t bytes = argc > 1 ? atoll(argv[1]) : 0;
    if (bytes <= 0 || posix_memalign((void **)&memory, 2 << 20, bytes)) return 2;
    int64_t all = bytes / (int64_t)sizeof(double);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < all; ++i) memory[i] = 1.0 + 1e-9 * (double)i;
    char kernel[16];
    double seconds;
    while (scanf("%15s %lf", kernel, &seconds) == 2) {
        int arrays = !strcmp(kernel, "copy") ? 2 : !strcmp(kernel, "triad") ? 3 : 1;
        int64_t n = all / arrays;
        double *a = memory, *b = memory + n, *c = memory + (arrays > 2 ? 2 * n : 0);
        pass(kernel, a, b, c, n); /* the caches are its own then */
        double begin = omp_get_wtime(), elapsed;
        int64_t passes = 0;
        do {
            pass(kernel, a, b, c, n);
            ++passes;
        } while ((elapsed = omp_get_wtime() - begin) < seconds);
        printf("%.6f\n", 1e-9 * arrays * n * sizeof(double) * passes / elapsed);
        fflush(stdout);
    }
    return sink == 0.123456789;
}
