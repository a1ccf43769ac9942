/* A stand-in for NVIDIA's driver, for tests: one device, or as many as STANDIN_DEVICES says, whose memory is
   the host's and whose kernels run on the processor, late and in order, as those of a real one do. A device
   reaches another's memory once that was allowed, and never with STANDIN_NO_PEERS. What PyCUDA binds and
   gpubench does not use is made beside this (see __init__.py) and answers "not supported".

   STANDIN_FAULT="cuMemAlloc_v2:2:20:3" lets 3 calls of a function, after the first 20, fail with an error;
   the error -1 never returns. After one of those that end a context, every later call fails with it.
   STANDIN_ATTRIBUTES="40=2,36=0" are attributes of every device, in place of those below, and STANDIN_NAME
   is its name. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
    OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201, NO_BINARY_FOR_GPU = 209, INVALID_HANDLE = 400, NOT_FOUND = 500, NOT_READY = 600,
    ILLEGAL_ADDRESS = 700, TOO_MANY_RESOURCES = 701, LAUNCH_TIMEOUT = 702, PEER_ACCESS_ALREADY_ENABLED = 704,
    LAUNCH_FAILED = 719, DEVICE_UNAVAILABLE = 46, NOT_PERMITTED = 800, NOT_SUPPORTED = 801, UNKNOWN = 999
};

static const struct { int code; const char *text; } TEXTS[] = {
    {OK, "no error"}, {INVALID_VALUE, "invalid argument"}, {OUT_OF_MEMORY, "out of memory"},
    {NO_DEVICE, "no CUDA-capable device is detected"}, {INVALID_DEVICE, "invalid device ordinal"},
    {INVALID_IMAGE, "device kernel image is invalid"}, {INVALID_CONTEXT, "invalid device context"},
    {NO_BINARY_FOR_GPU, "no kernel image is available for execution on the device"},
    {INVALID_HANDLE, "invalid resource handle"}, {NOT_FOUND, "named symbol not found"},
    {NOT_READY, "device not ready"}, {ILLEGAL_ADDRESS, "an illegal memory access was encountered"},
    {TOO_MANY_RESOURCES, "too many resources requested for launch"},
    {PEER_ACCESS_ALREADY_ENABLED, "peer access is already enabled"},
    {LAUNCH_TIMEOUT, "the launch timed out and was terminated"},
    {LAUNCH_FAILED, "unspecified launch failure"}, {NOT_PERMITTED, "operation not permitted"},
    {NOT_SUPPORTED, "operation not supported"},
    {DEVICE_UNAVAILABLE, "CUDA-capable device(s) is/are busy or unavailable"},
    {UNKNOWN, "unknown error"},
};

static const uint64_t MEMORY_BYTES = 1ull << 29;
static const uint64_t GUARD_BYTES = 4096;
static const int CAPABILITY = 90;
static const struct { int attribute, value; } ATTRIBUTES[] = {
    {16, 2},         /* multiprocessors */
    {36, 1000000},   /* memory clock, kHz */
    {37, 32},        /* bus width */
    {38, 1 << 18},   /* L2 */
    {32, 1},         /* ECC */
    {75, 9}, {76, 0} /* capability */
};

typedef struct { int pending; double milliseconds; } Event;
typedef struct { void *library; void (*launch)(void *, const uint64_t *, unsigned, unsigned); } Module;
typedef struct { Module *module; void *address; } Function;
typedef struct Allocation { char *begin; uint64_t bytes; struct Allocation *next; int device; } Allocation;
typedef struct Work {
    enum { LAUNCH, SET, COPY, RECORD, END } kind;
    Function *function;
    unsigned groups, size;
    uint64_t arguments[12];
    char *to;
    const char *from;
    uint64_t bytes;
    unsigned char value;
    Event *event;
    int code;
    struct Work *next;
} Work;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static Work *queue, **queue_end = &queue;
static int busy, started, dead, kernels_ahead;
static Allocation *allocations, *pinned;
static uint64_t allocated;
static __thread int contexts, current[64];
static int reaches[8][8], retained[8];

static double now_milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e3 + now.tv_nsec * 1e-6;
}

static int ends_the_context(int code) {
    return code == ILLEGAL_ADDRESS || code == LAUNCH_TIMEOUT || code == LAUNCH_FAILED || code == UNKNOWN;
}

static void do_work(Work *work) {
    switch (work->kind) {
    case LAUNCH:
        work->function->module->launch(work->function->address, work->arguments, work->groups, work->size);
        break;
    case SET: memset(work->to, work->value, work->bytes); break;
    case COPY: memcpy(work->to, work->from, work->bytes); break;
    case RECORD: work->event->milliseconds = now_milliseconds(); break;
    case END: break;
    }
}

static void *work_on(void *unused) {
    pthread_mutex_lock(&lock);
    for (;;) {
        while (!queue) pthread_cond_wait(&changed, &lock);
        Work *work = queue;
        queue = work->next;
        if (!queue) queue_end = &queue;
        busy = 1;
        pthread_mutex_unlock(&lock);
        if (!dead) do_work(work);
        pthread_mutex_lock(&lock);
        if (work->kind == RECORD) work->event->pending--;
        if (work->kind == LAUNCH) kernels_ahead--;
        if (work->kind == END) dead = work->code;
        busy = 0;
        pthread_cond_broadcast(&changed);
        free(work);
    }
    return unused;
}

static int later(Work work) {
    Work *kept = malloc(sizeof *kept);
    *kept = work;
    kept->next = NULL;
    pthread_mutex_lock(&lock);
    kernels_ahead += kept->kind == LAUNCH;
    if (!started) {
        pthread_t thread;
        started = !pthread_create(&thread, NULL, work_on, NULL);
    }
    *queue_end = kept;
    queue_end = &kept->next;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return OK;
}

static int wait_for_all(void) {
    pthread_mutex_lock(&lock);
    while (queue || busy) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    return dead;
}

/* The error that this call is to fail with, asked for in STANDIN_FAULT or left from an earlier one. */
static int fault(const char *function, int needs_context) {
    static int calls;
    const char *asked = getenv("STANDIN_FAULT");
    if (dead) return dead;
    if (needs_context && (!contexts || !retained[current[contexts]])) return INVALID_CONTEXT;
    if (!asked) return OK;
    const char *colon = strchr(asked, ':');
    if (!colon || strncmp(asked, function, colon - asked) || function[colon - asked]) return OK;
    int code = 0, after = 0, times = 1;
    sscanf(colon, ":%d:%d:%d", &code, &after, &times);
    if (calls++ < after || calls > after + times) return OK;
    while (code < 0) sleep(1000);
    if (!ends_the_context(code)) return code;
    return later((Work){.kind = END, .code = code}); /* Of the device, and so told by a later call. */
}
#define FAULT(context)                                                                                        \
    do {                                                                                                      \
        int code_ = fault(__func__, context);                                                                 \
        if (code_) return code_;                                                                              \
    } while (0)

static int within(const Allocation *list, const void *pointer, uint64_t bytes) {
    for (; list; list = list->next)
        if ((char *)pointer >= list->begin && (char *)pointer + bytes <= list->begin + list->bytes) return 1;
    return 0;
}
/* In memory that the current context reaches. */
static int inside(const void *pointer, uint64_t bytes) {
    const int device = current[contexts];
    for (const Allocation *each = allocations; each; each = each->next)
        if (each->begin <= (char *)pointer && (char *)pointer + bytes <= each->begin + each->bytes)
            return each->device == device || reaches[device][each->device];
    return 0;
}
static int device_count(void) { return getenv("STANDIN_DEVICES") ? atoi(getenv("STANDIN_DEVICES")) : 1; }

/* What tests call: the shared library with the code of the next module that is loaded. */
/* What stands behind a cubin: the path of the same program for the processor. */
static const char *host_code(const unsigned char *image) {
    uint64_t segments, sections;
    uint16_t segment_bytes, segment_count, section_bytes, section_count;
    memcpy(&segments, image + 32, 8), memcpy(&sections, image + 40, 8);
    memcpy(&segment_bytes, image + 54, 2), memcpy(&segment_count, image + 56, 2);
    memcpy(&section_bytes, image + 58, 2), memcpy(&section_count, image + 60, 2);
    const uint64_t ends[] = {segments + segment_bytes * segment_count, sections + section_bytes * section_count};
    image += ends[0] > ends[1] ? ends[0] : ends[1];
    while (memcmp(image, "STANDIN:", 8)) ++image;
    return (const char *)image + 8;
}

int cuGetErrorString(int code, const char **text) {
    for (size_t k = 0; k < sizeof TEXTS / sizeof *TEXTS; ++k)
        if (TEXTS[k].code == code) { *text = TEXTS[k].text; return OK; }
    return INVALID_VALUE;
}
int cuInit(unsigned flags) { FAULT(0); return OK; }
/* NVRTC looks for a driver in its process and asks for this unseen: not to have it would be a crash. */
int cuGetExportTable(const void **table, const void *id) { return NOT_SUPPORTED; }
int cuDriverGetVersion(int *version) { *version = 13000; return OK; }
int cuDeviceGetCount(int *count) { *count = device_count(); return OK; }
int cuDeviceGet(int *device, int index) {
    *device = index;
    return index < device_count() ? OK : INVALID_DEVICE;
}
int cuDeviceGetName(char *name, int size, int device) {
    const char *asked = getenv("STANDIN_NAME");
    snprintf(name, size, "%s", asked ? asked : "Stand-in");
    return OK;
}
int cuDeviceGetPCIBusId(char *name, int size, int device) {
    snprintf(name, size, "0000:%X:00.0", 0x3b + device);
    return OK;
}
int cuDeviceGetUuid_v2(unsigned char *uuid, int device) {
    for (int k = 0; k < 16; ++k) uuid[k] = 0x10 + k + 0x20 * device;
    return OK;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = MEMORY_BYTES; return OK; }
int cuDeviceComputeCapability(int *major, int *minor, int device) {
    *major = CAPABILITY / 10, *minor = CAPABILITY % 10;
    return OK;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = 0;
    for (size_t k = 0; k < sizeof ATTRIBUTES / sizeof *ATTRIBUTES; ++k)
        if (ATTRIBUTES[k].attribute == attribute) *value = ATTRIBUTES[k].value;
    if (attribute == 18) *value = getenv("STANDIN_INTEGRATED") != NULL;
    const char *asked = getenv("STANDIN_ATTRIBUTES");
    for (int number, other, length; asked && sscanf(asked, "%d=%d%n", &number, &other, &length) == 2;) {
        if (number == attribute) *value = other;
        asked += length + (asked[length] == ',');
    }
    return OK;
}
int cuDevicePrimaryCtxRetain(void **context, int device) {
    FAULT(0);
    *context = (void *)(intptr_t)(device + 1);
    ++retained[device];
    return OK;
}
int cuDevicePrimaryCtxRelease_v2(int device) {
    if (!retained[device]) return INVALID_CONTEXT;
    if (--retained[device]) return OK;
    /* With the context all access to it and from it is gone; it stays on the stack where it was. */
    for (int k = 0; k < 8; ++k) reaches[device][k] = reaches[k][device] = 0;
    return OK;
}
int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) {
    *flags = 0, *active = retained[device] > 0;
    return OK;
}
int cuCtxPushCurrent_v2(void *context) { current[++contexts] = (intptr_t)context - 1; return OK; }
int cuCtxPopCurrent_v2(void **context) {
    if (!contexts) return INVALID_CONTEXT;
    if (context) *context = (void *)(intptr_t)(current[contexts] + 1);
    --contexts;
    return OK;
}
int cuCtxDetach(void *context) { return OK; }
int cuCtxGetDevice(int *device) { *device = current[contexts]; return contexts ? OK : INVALID_CONTEXT; }
int cuDeviceCanAccessPeer(int *can, int device, int peer) {
    *can = device != peer && !getenv("STANDIN_NO_PEERS");
    return OK;
}
int cuCtxEnablePeerAccess(void *context, unsigned flags) {
    FAULT(1);
    int *reached = &reaches[current[contexts]][(intptr_t)context - 1];
    if (*reached) return PEER_ACCESS_ALREADY_ENABLED;
    *reached = 1;
    return OK;
}
int cuCtxGetApiVersion(void *context, unsigned *version) { *version = 3020; return OK; }
int cuCtxSynchronize(void) { FAULT(1); return wait_for_all(); }

int cuMemGetInfo_v2(size_t *free_bytes, size_t *total) {
    FAULT(1);
    *free_bytes = MEMORY_BYTES - allocated, *total = MEMORY_BYTES;
    return OK;
}
int cuMemAlloc_v2(uint64_t *pointer, size_t bytes) {
    FAULT(1);
    const uint64_t size = (bytes + GUARD_BYTES - 1) / GUARD_BYTES * GUARD_BYTES;
    if (!bytes || allocated + size > MEMORY_BYTES) return bytes ? OUT_OF_MEMORY : INVALID_VALUE;
    char *begin = mmap(NULL, size + GUARD_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (begin == MAP_FAILED) return OUT_OF_MEMORY;
    mprotect(begin + size, GUARD_BYTES, PROT_NONE); /* Who writes past the end ends the process. */
    memset(begin, 0xA5, size);                      /* Fresh memory holds no zeros. */
    Allocation *kept = malloc(sizeof *kept);
    *kept = (Allocation){begin, size, allocations, current[contexts]};
    allocations = kept;
    allocated += size;
    *pointer = (uint64_t)begin;
    return OK;
}
int cuMemFree_v2(uint64_t pointer) {
    FAULT(1);
    wait_for_all();
    for (Allocation **each = &allocations; *each; each = &(*each)->next)
        if ((uint64_t)(*each)->begin == pointer) {
            Allocation *gone = *each;
            *each = gone->next;
            allocated -= gone->bytes;
            munmap(gone->begin, gone->bytes + GUARD_BYTES);
            free(gone);
            return dead;
        }
    return INVALID_VALUE;
}
int cuMemHostAlloc(void **pointer, size_t bytes, unsigned flags) {
    FAULT(1);
    Allocation *kept = malloc(sizeof *kept);
    *pointer = malloc(bytes);
    *kept = (Allocation){*pointer, bytes, pinned};
    pinned = kept;
    return *pointer ? OK : OUT_OF_MEMORY;
}
int cuMemFreeHost(void *pointer) {
    for (Allocation **each = &pinned; *each; each = &(*each)->next)
        if ((*each)->begin == pointer) {
            Allocation *gone = *each;
            *each = gone->next;
            free(gone);
            free(pointer);
            return OK;
        }
    return INVALID_VALUE;
}
int cuMemHostGetDevicePointer_v2(uint64_t *pointer, void *host, unsigned flags) {
    *pointer = (uint64_t)host;
    return OK;
}
int cuMemsetD8Async(uint64_t pointer, unsigned char value, size_t count, void *stream) {
    FAULT(1);
    if (!inside((void *)pointer, count)) return INVALID_VALUE;
    return later((Work){.kind = SET, .to = (char *)pointer, .value = value, .bytes = count});
}
/* Of words whose four bytes are equal to the lowest one. */
int cuMemsetD32Async(uint64_t pointer, unsigned value, size_t count, void *stream) {
    return cuMemsetD8Async(pointer, value & 0xff, 4 * count, stream);
}
/* Of pinned memory later; of any other the caller waits, as the manual says of DtoH and large HtoD. Behind a
   kernel that waits for the caller that would be for ever, and none of ours has any other kernel ahead. */
static int transfer(void *to, const void *from, size_t bytes, const void *host) {
    const int waits = !within(pinned, host, bytes);
    if (waits && kernels_ahead) return NOT_PERMITTED;
    later((Work){.kind = COPY, .to = to, .from = from, .bytes = bytes});
    return waits ? wait_for_all() : OK;
}
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *stream) {
    FAULT(1);
    return inside((void *)from, bytes) ? transfer(to, (void *)from, bytes, to) : INVALID_VALUE;
}
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *stream) {
    FAULT(1);
    return inside((void *)to, bytes) ? transfer((void *)to, from, bytes, from) : INVALID_VALUE;
}
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void *stream) {
    FAULT(1);
    if (!inside((void *)from, bytes) || !inside((void *)to, bytes)) return INVALID_VALUE;
    return later((Work){.kind = COPY, .to = (char *)to, .from = (char *)from, .bytes = bytes});
}

int cuStreamCreate(void **stream, unsigned flags) { FAULT(1); *stream = malloc(1); return OK; }
/* All streams are one row of work here. */
int cuStreamWaitEvent(void *stream, Event *event, unsigned flags) { FAULT(1); return OK; }
int cuStreamDestroy_v2(void *stream) { free(stream); return OK; }
int cuStreamSynchronize(void *stream) { FAULT(1); return wait_for_all(); }
int cuEventCreate(Event **event, unsigned flags) { FAULT(1); *event = calloc(1, sizeof **event); return OK; }
int cuEventDestroy_v2(Event *event) { wait_for_all(); free(event); return OK; }
int cuEventRecord(Event *event, void *stream) {
    FAULT(1);
    pthread_mutex_lock(&lock);
    event->pending++;
    pthread_mutex_unlock(&lock);
    return later((Work){.kind = RECORD, .event = event});
}
int cuEventSynchronize(Event *event) {
    FAULT(1);
    pthread_mutex_lock(&lock);
    while (event->pending) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    return dead;
}
int cuEventElapsedTime(float *milliseconds, Event *begin, Event *end) {
    FAULT(1);
    if (begin->pending || end->pending) return NOT_READY;
    if (!begin->milliseconds || !end->milliseconds) return INVALID_HANDLE;
    *milliseconds = (float)(end->milliseconds - begin->milliseconds);
    return OK;
}

/* A cubin is an ELF file of machine 190, with the architecture in the second byte of its flags. */
int cuModuleLoadDataEx(Module **module, const unsigned char *image, unsigned count, unsigned *options, void **values) {
    /* The sizes of both logs, 4 and 6, come back as what was written: nothing. */
    for (unsigned k = 0; k < count; k++)
        if (options[k] == 4 || options[k] == 6) values[k] = NULL;
    FAULT(1);
    uint16_t machine;
    uint32_t flags;
    if (memcmp(image, "\177ELF", 4)) return INVALID_IMAGE;
    memcpy(&machine, image + 18, sizeof machine);
    memcpy(&flags, image + 48, sizeof flags);
    if (machine != 190) return INVALID_IMAGE;
    if ((flags >> 8 & 0xff) != CAPABILITY) return NO_BINARY_FOR_GPU;
    Module *loaded = calloc(1, sizeof *loaded);
    loaded->library = dlopen(host_code(image), RTLD_NOW | RTLD_LOCAL);
    if (!loaded->library) return INVALID_IMAGE;
    loaded->launch = (void (*)(void *, const uint64_t *, unsigned, unsigned))dlsym(loaded->library, "standin_launch");
    *module = loaded;
    return OK;
}
int cuModuleLoadData(Module **module, const void *image) {
    return cuModuleLoadDataEx(module, image, 0, NULL, NULL);
}
int cuModuleUnload(Module *module) { wait_for_all(); return OK; }
int cuModuleGetFunction(Function **function, Module *module, const char *name) {
    FAULT(1);
    void *address = dlsym(module->library, name);
    if (!address) return NOT_FOUND;
    *function = malloc(sizeof **function);
    **function = (Function){module, address};
    return OK;
}
int cuFuncGetAttribute(int *value, int attribute, Function *function) { FAULT(1); *value = 0; return OK; }
int cuFuncSetBlockShape(Function *function, int x, int y, int z) { FAULT(1); return OK; }
int cuLaunchKernel(Function *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                   unsigned block_y, unsigned block_z, unsigned shared, void *stream, void **parameters,
                   void **extra) {
    FAULT(1);
    if (!grid_x || block_x * block_y * block_z > 1024) return INVALID_VALUE;
    Work work = {.kind = LAUNCH, .function = function, .groups = grid_x, .size = block_x};
    /* Pairs of a word that says what follows (1 the buffer, 2 a pointer to its size) until a 0. */
    const void *buffer = NULL;
    size_t size = 0;
    for (; extra && extra[0]; extra += 2) {
        if (extra[0] == (void *)1) buffer = extra[1];
        if (extra[0] == (void *)2) size = *(size_t *)extra[1];
    }
    if (!buffer || size % 8 || size > sizeof work.arguments) return INVALID_VALUE;
    memcpy(work.arguments, buffer, size);
    return later(work);
}
