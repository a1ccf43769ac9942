/* The macros and types that the kernels are written with, for CUDA C++. No includes: NVRTC has no headers. */

typedef unsigned int u32;
typedef unsigned long long u64;

#define HAS_DOUBLE 1
/* The 1 is the minimum number of groups on a multiprocessor. It keeps the compiler from trying to fill it with
   threads: for that it would save registers, delay loads past stores, and spill (seen for sm_80 to 100). */
#define KERNEL(name) RESIDENT_KERNEL(name, 1)
/* A kernel of which at least `groups` groups must be able to run at once on a multiprocessor. */
#define RESIDENT_KERNEL(name, groups) extern "C" __global__ void __launch_bounds__(GROUP_SIZE, groups) name
#define FUNCTION static __device__ __forceinline__
#define GLOBAL
#define LOCAL __shared__
#define RESTRICT __restrict__
#define BARRIER __syncthreads()
#define GROUP_ID ((u64)blockIdx.x)
#define GROUP_COUNT ((u64)gridDim.x)
#define LOCAL_ID ((u32)threadIdx.x)
FUNCTION u32 unit_id() {
    u32 id;
    asm("mov.u32 %0, %%smid;" : "=r"(id));
    return id;
}
/* The multiprocessor that this group runs on. */
#define UNIT_ID unit_id()
#define UNROLLED _Pragma("unroll")
#define ROLLED _Pragma("unroll 1")
#define MUL_HI(x, y) __umulhi(x, y)
#define ATOMIC_ADD(counter, value) atomicAdd(counter, value)
/* For an address loaded from memory: without the assumption, each load would look up which memory it is in. */
#define LOAD_GLOBAL(pointer) (__builtin_assume(__isGlobal(pointer)), *(pointer))

/* One aligned struct: the compiler turns it into 128-bit accesses, or 256-bit ones if the GPU has them. */
template <typename T, int N> struct alignas(sizeof(T) * N) pack {
    T lane[N];
};
template <typename T, int N> FUNCTION pack<T, N> splat(T value) {
    pack<T, N> result;
    UNROLLED for (int k = 0; k < N; ++k) result.lane[k] = value;
    return result;
}
template <typename T, int N> FUNCTION pack<T, N> operator+(pack<T, N> a, const pack<T, N> &b) {
    UNROLLED for (int k = 0; k < N; ++k) a.lane[k] += b.lane[k];
    return a;
}
template <typename T, int N> FUNCTION pack<T, N> operator*(pack<T, N> a, const pack<T, N> &b) {
    UNROLLED for (int k = 0; k < N; ++k) a.lane[k] *= b.lane[k];
    return a;
}
template <typename T, int N> FUNCTION pack<T, N> operator&(pack<T, N> a, const pack<T, N> &b) {
    UNROLLED for (int k = 0; k < N; ++k) a.lane[k] &= b.lane[k];
    return a;
}
template <typename T, int N> FUNCTION pack<T, N> operator|(pack<T, N> a, const pack<T, N> &b) {
    UNROLLED for (int k = 0; k < N; ++k) a.lane[k] |= b.lane[k];
    return a;
}
template <typename T, int N> FUNCTION pack<T, N> operator^(pack<T, N> a, const pack<T, N> &b) {
    UNROLLED for (int k = 0; k < N; ++k) a.lane[k] ^= b.lane[k];
    return a;
}
template <typename T, int N> FUNCTION pack<T, N> operator<<(pack<T, N> a, int bits) {
    UNROLLED for (int k = 0; k < N; ++k) a.lane[k] <<= bits;
    return a;
}
template <typename T, int N> FUNCTION pack<T, N> operator>>(pack<T, N> a, int bits) {
    UNROLLED for (int k = 0; k < N; ++k) a.lane[k] >>= bits;
    return a;
}
template <typename T, int N> FUNCTION void operator+=(pack<T, N> &a, const pack<T, N> &b) { a = a + b; }

#define VECTOR_OF(type) pack<type, VECTOR_ELEMENTS>
#define LANE(type, vector, index) ((vector).lane[index])
#define SPLAT(type, value) splat<type, VECTOR_ELEMENTS>(value)

/* A streaming store exists for 4, 8 and 16 bytes; wider values are stored in parts of 16. */
template <typename T, int N> FUNCTION void store_streaming(pack<T, N> *pointer, const pack<T, N> &value) {
    if constexpr (sizeof(value) % 16 == 0) {
        UNROLLED for (unsigned int k = 0; k < sizeof(value) / 16; ++k)
            __stcs((uint4 *)pointer + k, ((const uint4 *)&value)[k]);
    } else {
        UNROLLED for (int k = 0; k < N; ++k) __stcs(&pointer->lane[k], value.lane[k]);
    }
}
#if STREAMING_STORES
#define STORE(pointer, value) store_streaming(pointer, value)
#else
#define STORE(pointer, value) (*(pointer) = (value))
#endif

#define PREFETCH(pointer)

/* Accumulators of a thread that reads: each takes registers that could hold a load in flight. With one for each
   of eight loads, 80 registers let 512 threads run at once on a multiprocessor; with two in all, 56 let 1024. */
#define READ_SUMS (UNROLL < 2 ? UNROLL : 2)

#define FLOAT_OF_BITS(bits) __uint_as_float(bits)
#define DOUBLE_OF_BITS(bits) __longlong_as_double((long long)(bits))
#define BITS_OF_FLOAT(value) __float_as_uint(value)
#define BITS_OF_DOUBLE(value) ((u64)__double_as_longlong(value))

/* How many indices are computed at once: each thread of a GPU computes its own. */
#define LANES 1
#define LANE_NUMBERS 0
#define TO_U64S(x) ((u64)(x))
typedef u32 u32s;
typedef u64 u64s;
