/* Lets g++ compile the text of a CUDA program: what the CUDA prelude uses, in words of the processor.

   A group's threads run one after the other. Where the first one comes to a barrier, each gets a stack of
   its own, and they take turns from barrier to barrier. */
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <ucontext.h>
#include <vector>

#define __global__
#define __device__
#define __shared__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __builtin_assume(condition) ((void)0)
#define __isGlobal(pointer) true

struct Place {
    unsigned x;
};
static Place blockIdx, threadIdx, gridDim;

struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
template <typename T> static void __stcs(T *pointer, T value) { *pointer = value; }
template <typename To, typename From> static To same_bits(From value) {
    To result;
    std::memcpy(&result, &value, sizeof result);
    return result;
}
static float __uint_as_float(unsigned bits) { return same_bits<float>(bits); }
static unsigned __float_as_uint(float value) { return same_bits<unsigned>(value); }
static double __longlong_as_double(long long bits) { return same_bits<double>(bits); }
static long long __double_as_longlong(double value) { return same_bits<long long>(value); }
static unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((unsigned long long)a * b) >> 32); }
static unsigned atomicAdd(unsigned *counter, unsigned value) {
    const unsigned before = *counter;
    *counter += value;
    return before;
}
static long long clock64() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

typedef uint64_t Word;
typedef void (*Kernel)(Word, Word, Word, Word, Word, Word, Word, Word, Word, Word, Word, Word);

static const size_t STACK_BYTES = 32768;
static ucontext_t scheduler, turns[1024];
static bool finished[1024], on_own_stack, came_to_barrier;
static Kernel kernel;
static const Word *arguments;

static void call() {
    const Word *a = arguments; /* More than a kernel takes do no harm: its caller clears them away. */
    kernel(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11]);
}
static void turn() {
    call();
    finished[threadIdx.x] = true;
}
static void __syncthreads() {
    if (!on_own_stack) abort(); /* Some threads come to a barrier and others do not. */
    came_to_barrier = true;
    const unsigned self = threadIdx.x;
    swapcontext(&turns[self], &scheduler);
    threadIdx.x = self;
}
static void go_on(unsigned thread) {
    threadIdx.x = thread;
    on_own_stack = true;
    swapcontext(&scheduler, &turns[thread]);
    on_own_stack = false;
}
static void begin(unsigned thread, std::vector<char> &stacks) {
    finished[thread] = false;
    getcontext(&turns[thread]);
    turns[thread].uc_stack.ss_sp = &stacks[thread * STACK_BYTES];
    turns[thread].uc_stack.ss_size = STACK_BYTES;
    turns[thread].uc_link = &scheduler;
    makecontext(&turns[thread], turn, 0);
    go_on(thread);
}

extern "C" void standin_launch(void *function, const Word *given, unsigned groups, unsigned size) {
    static std::vector<char> stacks(1024 * STACK_BYTES);
    kernel = (Kernel)function;
    arguments = given;
    gridDim.x = groups;
    for (unsigned group = 0; group < groups; ++group) {
        blockIdx.x = group;
        came_to_barrier = false;
        begin(0, stacks);
        for (unsigned thread = 1; thread < size; ++thread) {
            if (came_to_barrier) {
                begin(thread, stacks);
            } else {
                threadIdx.x = thread;
                call();
            }
        }
        while (came_to_barrier && !finished[0])
            for (unsigned thread = 0; thread < size; ++thread)
                if (!finished[thread]) go_on(thread);
    }
}

/* Of unit_id: one processor runs them all. */
#define asm(...) id = 0
