/* An OpenCL driver in front of PoCL that tells lies and dies as it is told to by environment variables.

   It has a platform and a device of its own, which answer as PoCL's do unless a variable says otherwise. What runs,
   runs in PoCL: once a context is made on the false device, entries of PoCL's own table are replaced, so a process
   that makes one should have loaded no other PoCL. No headers of OpenCL are needed: types are declared here, and
   functions are numbered by their places in the table of cl_icd.h.

   FALSE_POCL             path of PoCL's library; needed
   FALSE_CRASH            stage at which the process gets SIGSEGV
   FALSE_HANG             stage at which it waits for ever
   FALSE_ERROR            stage that returns an error code
   FALSE_PLATFORMS=0, FALSE_DEVICES=0, FALSE_EXTENSIONS=0   none of them
   FALSE_PLATFORM_NAME, FALSE_PLATFORM_VERSION, FALSE_DEVICE_NAME, FALSE_DRIVER_VERSION   hexadecimal bytes
   FALSE_TYPE             CL_DEVICE_TYPE, a number
   FALSE_UNAVAILABLE      "device" or "compiler"
   FALSE_NO_DOUBLE        no cl_khr_fp64, and no type double
   FALSE_NO_PREFETCH      a compiler that fails where __builtin_prefetch is used
   FALSE_MAX_GROUP        largest group
   FALSE_MAX_ALLOCATION   largest buffer in bytes
   FALSE_PCI_SLOT         what NVIDIA's extension calls the slot, on bus 0 of domain 0
   FALSE_NO_HOST_POINTERS buffers over the host's memory are refused
   FALSE_NO_PROFILING     "queue": no queue keeps time, nor says that it does; "creation": it says so and refuses;
                          "events": a queue is made, and its events have no times
   FALSE_CLOCK            factor by which the device's clock runs; "nanosecond": every event takes 1 ns
   FALSE_TICK             ns between two ticks of the device's clock

   Stages: load, platforms, platform_info, devices, device_info, context, queue, build, launch, times, exit. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    GET_PLATFORM_IDS = 0, GET_PLATFORM_INFO = 1, GET_DEVICE_IDS = 2, GET_DEVICE_INFO = 3, CREATE_CONTEXT = 4,
    CREATE_QUEUE = 9, CREATE_BUFFER = 14, CREATE_PROGRAM = 26, BUILD_PROGRAM = 30, GET_BUILD_INFO = 33,
    GET_KERNEL_GROUP_INFO = 40, GET_EVENT_TIMES = 45, ENQUEUE_KERNEL = 59, GET_FUNCTION = 65,
    RETAIN_DEVICE = 94, RELEASE_DEVICE = 95, GET_FUNCTION_OF_PLATFORM = 107, CREATE_QUEUE_WITH_PROPERTIES = 123,
    TABLE_ENTRIES = 140
};

enum {
    DEVICE_NOT_FOUND = -1, OUT_OF_HOST_MEMORY = -6, NO_TIMES = -7, INVALID_VALUE = -30, INVALID_QUEUE_PROPERTIES = -35,
    INVALID_HOST_POINTER = -37, INVALID_GROUP_SIZE = -54, INVALID_BUFFER_SIZE = -61, NO_PLATFORM = -1001
};

enum { PLATFORM_VERSION = 0x901, PLATFORM_NAME = 0x902, PLATFORM_EXTENSIONS = 0x904, PLATFORM_SUFFIX = 0x920 };

enum {
    DEVICE_TYPE = 0x1000, MAX_GROUP = 0x1004, MAX_ITEMS = 0x1005, MAX_ALLOCATION = 0x1010, AVAILABLE = 0x1027,
    COMPILER_AVAILABLE = 0x1028, QUEUE_PROPERTIES = 0x102a, DEVICE_NAME = 0x102b, DRIVER_VERSION = 0x102d, DEVICE_EXTENSIONS = 0x1030,
    DEVICE_PLATFORM = 0x1031, DOUBLE_CONFIGURATION = 0x1032,
    PCI_BUS = 0x4008, PCI_SLOT = 0x4009, PCI_DOMAIN = 0x400a
};

enum { QUEUE_KEEPS_TIME = 2, USE_HOST_POINTER = 8, TIME_START = 0x1282, TIME_END = 0x1283, QUEUE_PROPERTIES_KEY = 0x1093 };

typedef int32_t status;
struct object { void **table; };

static void *real[TABLE_ENTRIES];
static void *table[TABLE_ENTRIES];
static struct object platform = {table}, device = {table};
static void *real_platform, *real_device;
static void **real_table;

#define REAL(index, type) ((type)real[index])

static const char *asked(const char *variable) {
    const char *value = getenv(variable);
    return value && *value ? value : NULL;
}

static int is(const char *variable, const char *value) {
    const char *found = asked(variable);
    return found && !strcmp(found, value);
}

/* Whether an error was asked for here; does not return if a crash or a hang was. */
static int stage(const char *name) {
    if (is("FALSE_CRASH", name)) {
        signal(SIGSEGV, SIG_DFL);
        raise(SIGSEGV);
    }
    while (is("FALSE_HANG", name)) pause();
    return is("FALSE_ERROR", name);
}

static status give(const void *value, size_t bytes, size_t room, void *to, size_t *size) {
    if (to && room < bytes) return INVALID_VALUE;
    if (to) memcpy(to, value, bytes);
    if (size) *size = bytes;
    return 0;
}

static status give_text(const char *text, size_t room, void *to, size_t *size) {
    return give(text, strlen(text) + 1, room, to, size);
}

static status give_hexadecimal(const char *digits, size_t room, void *to, size_t *size) {
    char bytes[4096] = {0};
    size_t count = 0;
    unsigned int value;
    while (count < sizeof bytes - 1 && sscanf(digits + 2 * count, "%2x", &value) == 1) {
        bytes[count++] = (char)value;
        if (!digits[2 * count]) break;
    }
    return give(bytes, count + 1, room, to, size);
}

static void *unwrap(void *of) { return of == &device ? real_device : of; }

/* Platform and device. */

static status platform_ids(uint32_t room, void **platforms, uint32_t *count) {
    if (stage("platforms")) return OUT_OF_HOST_MEMORY;
    if (is("FALSE_PLATFORMS", "0")) return NO_PLATFORM;
    if (platforms && room) platforms[0] = &platform;
    if (count) *count = 1;
    return 0;
}

static status platform_info(void *of, uint32_t name, size_t room, void *to, size_t *size) {
    (void)of;
    /* The loader asks for these two itself, and would leave the platform out. */
    if (name == PLATFORM_EXTENSIONS)
        return give_text(is("FALSE_EXTENSIONS", "0") ? "" : "cl_khr_icd", room, to, size);
    if (name == PLATFORM_SUFFIX) return give_text("FALSE", room, to, size);
    if (stage("platform_info")) return OUT_OF_HOST_MEMORY;
    if (name == PLATFORM_NAME)
        return asked("FALSE_PLATFORM_NAME") ? give_hexadecimal(asked("FALSE_PLATFORM_NAME"), room, to, size)
                                            : give_text("Falsifier", room, to, size);
    if (name == PLATFORM_VERSION && asked("FALSE_PLATFORM_VERSION"))
        return give_hexadecimal(asked("FALSE_PLATFORM_VERSION"), room, to, size);
    return REAL(GET_PLATFORM_INFO, status (*)(void *, uint32_t, size_t, void *, size_t *))(real_platform, name, room, to,
                                                                                           size);
}

static status device_ids(void *of, uint64_t type, uint32_t room, void **devices, uint32_t *count) {
    (void)of;
    (void)type;
    if (stage("devices")) return OUT_OF_HOST_MEMORY;
    if (is("FALSE_DEVICES", "0")) return DEVICE_NOT_FOUND;
    if (!real_device) {
        status failed = REAL(GET_DEVICE_IDS, status (*)(void *, uint64_t, uint32_t, void **, uint32_t *))(
            real_platform, 0xffffffff, 1, &real_device, NULL);
        if (failed) return failed;
    }
    if (devices && room) devices[0] = &device;
    if (count) *count = 1;
    return 0;
}

static status real_device_info(uint32_t name, size_t room, void *to, size_t *size) {
    return REAL(GET_DEVICE_INFO, status (*)(void *, uint32_t, size_t, void *, size_t *))(real_device, name, room, to,
                                                                                         size);
}

static status device_extensions(size_t room, void *to, size_t *size) {
    char text[8192] = {0};
    status failed = real_device_info(DEVICE_EXTENSIONS, sizeof text, text, NULL);
    char *found = strstr(text, "cl_khr_fp64");
    if (failed) return failed;
    if (found && asked("FALSE_NO_DOUBLE")) memset(found, ' ', strlen("cl_khr_fp64"));
    return give_text(text, room, to, size);
}

static status device_info(void *of, uint32_t name, size_t room, void *to, size_t *size) {
    if (of != &device)
        return REAL(GET_DEVICE_INFO, status (*)(void *, uint32_t, size_t, void *, size_t *))(of, name, room, to, size);
    if (stage("device_info")) return OUT_OF_HOST_MEMORY;
    uint64_t number = 0, queue = 0;
    uint32_t no = 0;
    void *mine = &platform;
    switch (name) {
    case DEVICE_PLATFORM: return give(&mine, sizeof mine, room, to, size);
    case DEVICE_EXTENSIONS: return device_extensions(room, to, size);
    case DEVICE_NAME:
        if (asked("FALSE_DEVICE_NAME")) return give_hexadecimal(asked("FALSE_DEVICE_NAME"), room, to, size);
        break;
    case DRIVER_VERSION:
        if (asked("FALSE_DRIVER_VERSION")) return give_hexadecimal(asked("FALSE_DRIVER_VERSION"), room, to, size);
        break;
    case DEVICE_TYPE:
        if (!asked("FALSE_TYPE")) break;
        number = strtoull(asked("FALSE_TYPE"), NULL, 0);
        return give(&number, 8, room, to, size);
    case MAX_GROUP:
        if (!asked("FALSE_MAX_GROUP")) break;
        number = strtoull(asked("FALSE_MAX_GROUP"), NULL, 0);
        return give(&number, sizeof(size_t), room, to, size);
    case MAX_ALLOCATION:
        if (!asked("FALSE_MAX_ALLOCATION")) break;
        number = strtoull(asked("FALSE_MAX_ALLOCATION"), NULL, 0);
        return give(&number, 8, room, to, size);
    case PCI_BUS:
    case PCI_DOMAIN:
        if (!asked("FALSE_PCI_SLOT")) break;
        return give(&no, 4, room, to, size);
    case PCI_SLOT:
        if (!asked("FALSE_PCI_SLOT")) break;
        number = strtoull(asked("FALSE_PCI_SLOT"), NULL, 0);
        return give(&number, 4, room, to, size);
    case AVAILABLE:
        if (is("FALSE_UNAVAILABLE", "device")) return give(&no, 4, room, to, size);
        break;
    case COMPILER_AVAILABLE:
        if (is("FALSE_UNAVAILABLE", "compiler")) return give(&no, 4, room, to, size);
        break;
    case QUEUE_PROPERTIES:
        if (is("FALSE_NO_PROFILING", "queue")) return give(&queue, 8, room, to, size);
        break;
    case DOUBLE_CONFIGURATION:
        if (asked("FALSE_NO_DOUBLE")) return give(&number, 8, room, to, size);
        break;
    }
    return real_device_info(name, room, to, size);
}

static status counted(void *of) {
    (void)of;
    return 0;
}

/* What runs. */

static void *refused(status code, status *failed) {
    if (failed) *failed = code;
    return NULL;
}

static void *queue_with_properties(void *context, void *on, const uint64_t *properties, status *failed) {
    int keeps_time = 0;
    for (const uint64_t *each = properties; each && *each; each += 2)
        keeps_time |= each[0] == QUEUE_PROPERTIES_KEY && each[1] & QUEUE_KEEPS_TIME;
    if (stage("queue")) return refused(OUT_OF_HOST_MEMORY, failed);
    if (keeps_time && (is("FALSE_NO_PROFILING", "queue") || is("FALSE_NO_PROFILING", "creation")))
        return refused(INVALID_QUEUE_PROPERTIES, failed);
    return REAL(CREATE_QUEUE_WITH_PROPERTIES, void *(*)(void *, void *, const uint64_t *, status *))(
        context, unwrap(on), properties, failed);
}

static void *queue(void *context, void *on, uint64_t properties, status *failed) {
    uint64_t pairs[] = {QUEUE_PROPERTIES_KEY, properties, 0};
    return queue_with_properties(context, on, pairs, failed);
}

static void *buffer(void *context, uint64_t flags, size_t bytes, void *host, status *failed) {
    if (asked("FALSE_NO_HOST_POINTERS") && flags & USE_HOST_POINTER) return refused(INVALID_HOST_POINTER, failed);
    if (asked("FALSE_MAX_ALLOCATION") && bytes > strtoull(asked("FALSE_MAX_ALLOCATION"), NULL, 0))
        return refused(INVALID_BUFFER_SIZE, failed);
    return REAL(CREATE_BUFFER, void *(*)(void *, uint64_t, size_t, void *, status *))(context, flags, bytes, host, failed);
}

static void *program(void *context, uint32_t count, const char **texts, const size_t *lengths, status *failed) {
    const char *all[10] = {"", ""};
    size_t bytes[10] = {0};
    if (count > 8) return refused(INVALID_VALUE, failed);
    if (asked("FALSE_NO_DOUBLE"))
        all[0] = "#undef cl_khr_fp64\n#define double no_double\n#define as_double no_double\n";
    if (asked("FALSE_NO_PREFETCH")) all[1] = "#define __builtin_prefetch no_prefetch\n";
    for (uint32_t k = 0; k < count; ++k) {
        all[k + 2] = texts[k];
        bytes[k + 2] = lengths ? lengths[k] : 0; /* 0: to the zero byte */
    }
    return REAL(CREATE_PROGRAM, void *(*)(void *, uint32_t, const char **, const size_t *, status *))(
        context, count + 2, all, bytes, failed);
}

static status build(void *of, uint32_t count, void **devices, const char *options, void *notify, void *data) {
    void *one[] = {real_device};
    if (stage("build")) return OUT_OF_HOST_MEMORY;
    return REAL(BUILD_PROGRAM, status (*)(void *, uint32_t, void **, const char *, void *, void *))(
        of, count ? 1 : 0, devices ? one : NULL, options, notify, data);
}

static status build_info(void *of, void *on, uint32_t name, size_t room, void *to, size_t *size) {
    return REAL(GET_BUILD_INFO, status (*)(void *, void *, uint32_t, size_t, void *, size_t *))(of, unwrap(on), name, room,
                                                                                                to, size);
}

static status kernel_group_info(void *of, void *on, uint32_t name, size_t room, void *to, size_t *size) {
    return REAL(GET_KERNEL_GROUP_INFO, status (*)(void *, void *, uint32_t, size_t, void *, size_t *))(
        of, unwrap(on), name, room, to, size);
}

static status kernel(void *queue, void *of, uint32_t dimensions, const size_t *offset, const size_t *items,
                     const size_t *group, uint32_t waits, void **wait_for, void **event) {
    if (stage("launch")) return OUT_OF_HOST_MEMORY;
    if (asked("FALSE_MAX_GROUP") && group && group[0] > strtoull(asked("FALSE_MAX_GROUP"), NULL, 0))
        return INVALID_GROUP_SIZE;
    return REAL(ENQUEUE_KERNEL, status (*)(void *, void *, uint32_t, const size_t *, const size_t *, const size_t *,
                                           uint32_t, void **, void **))(queue, of, dimensions, offset, items, group,
                                                                        waits, wait_for, event);
}

static status event_times(void *of, uint32_t name, size_t room, void *to, size_t *size) {
    static uint64_t nanosecond;
    uint64_t time = 0;
    if (stage("times")) return OUT_OF_HOST_MEMORY;
    if (is("FALSE_NO_PROFILING", "events")) return NO_TIMES;
    status failed = REAL(GET_EVENT_TIMES, status (*)(void *, uint32_t, size_t, void *, size_t *))(of, name, sizeof time,
                                                                                                  &time, NULL);
    if (failed) return failed;
    if (is("FALSE_CLOCK", "nanosecond")) {
        if (name == TIME_START) nanosecond = time;
        time = name == TIME_END ? nanosecond + 1 : time;
    } else if (asked("FALSE_CLOCK")) {
        time = (uint64_t)((double)time * strtod(asked("FALSE_CLOCK"), NULL));
    }
    if (asked("FALSE_TICK")) time -= time % strtoull(asked("FALSE_TICK"), NULL, 0);
    return give(&time, sizeof time, room, to, size);
}

static void replace(int index, void *by) { real_table[index] = by; }

static void *context(const intptr_t *properties, uint32_t count, void **devices, void *notify, void *data,
                     status *failed) {
    intptr_t own[16] = {0};
    void *one[] = {real_device};
    (void)count;
    (void)devices;
    if (stage("context")) return refused(OUT_OF_HOST_MEMORY, failed);
    for (int k = 0; properties && properties[k] && k < 14; k += 2) {
        own[k] = properties[k];
        own[k + 1] = properties[k + 1] == (intptr_t)&platform ? (intptr_t)real_platform : properties[k + 1];
    }
    uintptr_t page = (uintptr_t)real_table & ~(uintptr_t)4095;
    mprotect((void *)page, (uintptr_t)(real_table + TABLE_ENTRIES) - page, PROT_READ | PROT_WRITE);
    replace(GET_DEVICE_INFO, device_info);
    replace(CREATE_QUEUE, queue);
    replace(CREATE_QUEUE_WITH_PROPERTIES, queue_with_properties);
    replace(CREATE_BUFFER, buffer);
    replace(CREATE_PROGRAM, program);
    replace(BUILD_PROGRAM, build);
    replace(GET_BUILD_INFO, build_info);
    replace(GET_KERNEL_GROUP_INFO, kernel_group_info);
    replace(ENQUEUE_KERNEL, kernel);
    replace(GET_EVENT_TIMES, event_times);
    return REAL(CREATE_CONTEXT, void *(*)(const intptr_t *, uint32_t, void **, void *, void *, status *))(
        properties ? own : NULL, 1, one, notify, data, failed);
}

/* What the loader looks for. */

void *clGetExtensionFunctionAddress(const char *name) {
    if (!strcmp(name, "clIcdGetPlatformIDsKHR")) return (void *)platform_ids;
    if (!strcmp(name, "clGetPlatformInfo")) return (void *)platform_info;
    return NULL;
}

static void *function_of_platform(void *of, const char *name) {
    (void)of;
    return clGetExtensionFunctionAddress(name);
}

status clIcdGetPlatformIDsKHR(uint32_t room, void **platforms, uint32_t *count) {
    return platform_ids(room, platforms, count);
}

status clGetPlatformInfo(void *of, uint32_t name, size_t room, void *to, size_t *size) {
    return platform_info(of, name, room, to, size);
}

__attribute__((constructor)) static void begin(void) {
    stage("load");
    void *library = asked("FALSE_POCL") ? dlopen(asked("FALSE_POCL"), RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!library) return;
    void *(*function)(const char *) = (void *(*)(const char *))dlsym(library, "clGetExtensionFunctionAddress");
    status (*ids)(uint32_t, void **, uint32_t *) =
        (status(*)(uint32_t, void **, uint32_t *))function("clIcdGetPlatformIDsKHR");
    if (!ids || ids(1, &real_platform, NULL)) return;
    real_table = *(void ***)real_platform;
    memcpy(real, real_table, sizeof real);
    memcpy(table, real_table, sizeof table);
    table[GET_PLATFORM_IDS] = platform_ids;
    table[GET_PLATFORM_INFO] = platform_info;
    table[GET_DEVICE_IDS] = device_ids;
    table[GET_DEVICE_INFO] = device_info;
    table[CREATE_CONTEXT] = context;
    table[GET_FUNCTION] = clGetExtensionFunctionAddress;
    table[GET_FUNCTION_OF_PLATFORM] = function_of_platform;
    table[RETAIN_DEVICE] = table[RELEASE_DEVICE] = counted;
    /* With a device of ours and no context yet. */
    table[CREATE_QUEUE_WITH_PROPERTIES] = queue_with_properties;
    table[CREATE_QUEUE] = queue;
}

__attribute__((destructor)) static void end(void) { stage("exit"); }
