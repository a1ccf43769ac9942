/* The words that the kernels are written in, for OpenCL C. */

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
/* Of both memories, as in CUDA: with a fence of local memory alone, what one item stores after it might be seen by
   another that has not yet read what was there before (`own` in loaded_walk). */
#define BARRIER barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
#define GROUP_ID ((u64)get_group_id(0))
#define GROUP_COUNT ((u64)get_num_groups(0))
#define LOCAL_ID ((u32)get_local_id(0))
/* OpenCL does not tell; nobody asks it. */
#define UNIT_ID 0u
#define UNROLLED _Pragma("unroll")
#define ROLLED
#define MUL_HI(x, y) mul_hi(x, y) /* of u32, or of vectors of them */
#define ATOMIC_ADD(counter, value) atomic_add(counter, value)
#define LOAD_GLOBAL(pointer) (*(pointer))

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

/* Native vectors, not structs: streaming stores of a struct collapse on processors. */
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

/* Only a processor, with its groups of one item, has a use for it; a place behind the array does no harm. The host says
   where it works: Mesa's compiler has the built-in as well, and the process dies of its use. */
#if GROUP_SIZE == 1 && defined(BUILTIN_PREFETCH)
#define PREFETCH(pointer) __builtin_prefetch((const void *)(u64)(pointer))
#else
#define PREFETCH(pointer)
#endif

/* Accumulators of an item that reads: on a processor additions that wait for each other cost more than registers. */
#define READ_SUMS UNROLL

#define FLOAT_OF_BITS(bits) as_float(bits)
#define DOUBLE_OF_BITS(bits) as_double(bits)
#define BITS_OF_FLOAT(value) as_uint(value)
#define BITS_OF_DOUBLE(value) as_ulong(value)

/* How many indices are computed at once. The compilers of processors do not find such vectors themselves. */
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
