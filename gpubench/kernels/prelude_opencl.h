/* The macros that the kernels are written with, for OpenCL C. */

#ifdef cl_khr_fp64
#define HAS_DOUBLE 1
#endif

#define u32 uint
#define u64 ulong

#define KERNEL(name) __kernel __attribute__((reqd_work_group_size(GROUP_SIZE, 1, 1))) void name
#define RESIDENT_KERNEL(name, groups) KERNEL(name)
#define FUNCTION inline
#define GLOBAL __global
#define LOCAL __local
#define RESTRICT restrict
/* Fences both memories, as in CUDA: with a fence of local memory alone, a work-item that has yet to read a global
   value might see what another one stores there after the barrier (`own` in loaded_walk). */
#define BARRIER barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
#define GROUP_ID ((u64)get_group_id(0))
#define GROUP_COUNT ((u64)get_num_groups(0))
#define LOCAL_ID ((u32)get_local_id(0))
/* OpenCL does not report it; it is never needed there. */
#define UNIT_ID 0u
#define UNROLLED _Pragma("unroll")
#define ROLLED
#define MUL_HI(x, y) mul_hi(x, y) /* for u32, or vectors of u32 */
#define ATOMIC_ADD(counter, value) atomic_add(counter, value)
#define LOAD_GLOBAL(pointer) (*(pointer))

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

/* Native vectors, not structs: on CPUs, streaming stores of structs are far slower. */
#if VECTOR_ELEMENTS == 1
#define VECTOR_OF(type) type
#else
#define VECTOR_OF(type) JOIN(type, VECTOR_ELEMENTS)
#endif

#define LANE(type, vector, lane) (((type *)&(vector))[lane])
#define SPLAT(type, value) ((VECTOR_OF(type))(value))

#if defined(__has_builtin)
#if __has_builtin(__builtin_nontemporal_store)
#define HAS_STREAMING_STORES 1
#endif
#endif
#if STREAMING_STORES && defined(HAS_STREAMING_STORES)
#define STORE(pointer, value) __builtin_nontemporal_store(value, pointer)
#else
#define STORE(pointer, value) (*(pointer) = (value))
#endif

/* Useful only on a CPU, where a group is one work-item; an address past the end of the array does no harm. The
   host defines BUILTIN_PREFETCH where it works: Mesa's compiler has it too, but using it crashes the process. */
#if GROUP_SIZE == 1 && defined(BUILTIN_PREFETCH)
#define PREFETCH(pointer) __builtin_prefetch((const void *)(u64)(pointer))
#else
#define PREFETCH(pointer)
#endif

/* Accumulators of a work-item that reads: on a CPU, dependent additions cost more than registers. */
#define READ_SUMS UNROLL

#define FLOAT_OF_BITS(bits) as_float(bits)
#define DOUBLE_OF_BITS(bits) as_double(bits)
#define BITS_OF_FLOAT(value) as_uint(value)
#define BITS_OF_DOUBLE(value) as_ulong(value)

/* How many indices are computed at once. Compilers for CPUs do not vectorize this by themselves. */
#if GROUP_SIZE == 1 && defined(UNROLL) && UNROLL % 8 == 0
#define LANES 8
#define LANE_NUMBERS ((uint8)(0, 1, 2, 3, 4, 5, 6, 7))
#define TO_U64S(x) convert_ulong8(x)
typedef uint8 u32s;
typedef ulong8 u64s;
#else
#define LANES 1
#define LANE_NUMBERS 0
#define TO_U64S(x) ((u64)(x))
typedef u32 u32s;
typedef u64 u64s;
#endif
