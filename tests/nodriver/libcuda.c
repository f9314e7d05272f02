/* A CUDA driver without a GPU: it lets the tests run trigrad's cuda device on any Linux machine.
 *
 * Device memory is host memory and copies are real, so data that goes in comes out.  Kernels are not run: a launch
 * is checked as the real driver checks it (stream, grid, threads, shared memory) and recorded, together with the bytes
 * of every parameter.  How many parameters a kernel has, and how wide they are, is read from the cubin itself.
 * Work is done at once, inside the call that asks for it; that of a capturing stream becomes nodes of a graph, and is done
 * and recorded each time the graph is launched, if the addresses that it was captured with are still allocated.
 *
 * Environment, read when the driver is first called:
 *   NODRIVER_DEVICES  number of devices (2)          NODRIVER_VERSION  version it claims to have (13000)
 *   NODRIVER_MEMORY   bytes on each device (80 GiB)  NODRIVER_INIT     what cuInit returns (0)
 *   NODRIVER_POOLS    0: no stream-ordered memory
 *   NODRIVER_GRAPHS   0: launching a graph does and records nothing, so that the host's own time can be measured
 *   NODRIVER_LOG      1: name the functions that are asked for and not here
 * The nodriver_* functions at the end read the records and make chosen calls fail; nodriver.py speaks to them.
 *
 * It declares the entry points that cuda-bindings and cuda-core need for trigrad and no others: a call of a missing one
 * is an error there, never a silent success.
 */
#define _GNU_SOURCE
#define __CUDA_API_VERSION_INTERNAL 1 /* cuda.h then leaves names alone, and versions are spelt out here */
#include "cuda.h"
#include <elf.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_DEVICES 16
#define MAX_PARAMETERS 512
#define PARAMETER_BYTES 4096
#define KEPT_LAUNCHES 1024

/* ---- settings, counters and injected faults ------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static long long setting(const char *name, long long otherwise)
{
    const char *text = getenv(name);
    return text && *text ? atoll(text) : otherwise;
}

static int version(void)
{
    static int value;
    if (!value) value = (int)setting("NODRIVER_VERSION", 13000);
    return value;
}

static int device_count(void)
{
    static int value = -1;
    if (value < 0) value = (int)setting("NODRIVER_DEVICES", 2);
    return value > MAX_DEVICES ? MAX_DEVICES : value;
}

struct call {
    char name[64];
    unsigned long long count;
    long long skip; /* calls that still succeed before the fault; negative: no fault set */
    CUresult fault;
};

static struct call calls[256];

/* The record of a function, found by its name without a version suffix. */
static struct call *call_of(const char *name)
{
    char plain[64];
    snprintf(plain, sizeof plain, "%s", name);
    size_t n = strlen(plain);
    if (n > 3 && plain[n - 3] == '_' && plain[n - 2] == 'v') plain[n - 3] = 0;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (!calls[i].name[0]) {
            strcpy(calls[i].name, plain);
            calls[i].skip = -1;
        }
        if (!strcmp(calls[i].name, plain)) return &calls[i];
    }
    abort();
}

static CUresult enter(const char *name, struct call **kept)
{
    pthread_mutex_lock(&lock);
    if (!*kept) *kept = call_of(name);
    struct call *call = *kept;
    call->count++;
    CUresult result = CUDA_SUCCESS;
    if (call->skip >= 0 && call->skip-- == 0) result = call->fault;
    pthread_mutex_unlock(&lock);
    return result;
}

#define ENTER()                                                                                                      \
    do {                                                                                                             \
        static struct call *call_;                                                                                   \
        CUresult result_ = enter(__func__, &call_);                                                                  \
        if (result_) return result_;                                                                                 \
    } while (0)

/* ---- errors --------------------------------------------------------------------------------------------------- */

#define ERROR(code, text) {code, #code, text}
static const struct { CUresult code; const char *name, *text; } errors[] = {
    ERROR(CUDA_SUCCESS, "no error"),
    ERROR(CUDA_ERROR_INVALID_VALUE, "invalid argument"),
    ERROR(CUDA_ERROR_OUT_OF_MEMORY, "out of memory"),
    ERROR(CUDA_ERROR_NOT_INITIALIZED, "initialization error"),
    ERROR(CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected"),
    ERROR(CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal"),
    ERROR(CUDA_ERROR_INVALID_IMAGE, "device kernel image is invalid"),
    ERROR(CUDA_ERROR_INVALID_CONTEXT, "invalid device context"),
    ERROR(CUDA_ERROR_NO_BINARY_FOR_GPU, "no kernel image is available for execution on the device"),
    ERROR(CUDA_ERROR_INVALID_HANDLE, "invalid resource handle"),
    ERROR(CUDA_ERROR_NOT_READY, "device not ready"),
    ERROR(CUDA_ERROR_NOT_FOUND, "named symbol not found"),
    ERROR(CUDA_ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered"),
    ERROR(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "too many resources requested for launch"),
    ERROR(CUDA_ERROR_LAUNCH_FAILED, "unspecified launch failure"),
    ERROR(CUDA_ERROR_NOT_SUPPORTED, "operation not supported"),
    ERROR(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing"),
    ERROR(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "operation failed due to a previous error during capture"),
    ERROR(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "dependency created on uncaptured work in another stream"),
    ERROR(CUDA_ERROR_CAPTURED_EVENT, "operation not permitted on an event last recorded in a capturing stream"),
    ERROR(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, "display driver and CUDA driver do not fit together"),
};

CUresult cuGetErrorName(CUresult code, const char **name)
{
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].code == code) { *name = errors[i].name; return CUDA_SUCCESS; }
    *name = NULL;
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult code, const char **text)
{
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].code == code) { *text = errors[i].text; return CUDA_SUCCESS; }
    *text = NULL;
    return CUDA_ERROR_INVALID_VALUE;
}

/* ---- driver, devices and contexts ----------------------------------------------------------------------------- */

struct CUctx_st { int device; };
static struct CUctx_st contexts[MAX_DEVICES];
static __thread CUcontext current;
static int initialised;

static int is_device(CUdevice device) { return device >= 0 && device < device_count(); }

CUresult cuInit(unsigned flags)
{
    ENTER();
    CUresult result = (CUresult)setting("NODRIVER_INIT", 0);
    if (flags) return CUDA_ERROR_INVALID_VALUE;
    if (!result && !device_count()) result = CUDA_ERROR_NO_DEVICE;
    if (!result) initialised = 1;
    return result;
}

CUresult cuDriverGetVersion(int *value) { ENTER(); *value = version(); return CUDA_SUCCESS; }

CUresult cuDeviceGetCount(int *count)
{
    ENTER();
    if (!initialised) return CUDA_ERROR_NOT_INITIALIZED;
    *count = device_count();
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int index)
{
    ENTER();
    if (!initialised) return CUDA_ERROR_NOT_INITIALIZED;
    if (!is_device(index)) return CUDA_ERROR_INVALID_DEVICE;
    *device = index;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char *name, int length, CUdevice device)
{
    ENTER();
    if (!is_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    snprintf(name, (size_t)length, "No-op device %d", device);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice device)
{
    ENTER();
    memset(uuid, device + 1, sizeof *uuid);
    return is_device(device) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

static size_t memory_of_device(void)
{
    static size_t value;
    if (!value) value = (size_t)setting("NODRIVER_MEMORY", 80ll << 30);
    return value;
}

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device)
{
    ENTER();
    if (!is_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    *bytes = memory_of_device();
    return CUDA_SUCCESS;
}

/* The limits of an sm_90. */
CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device)
{
    ENTER();
    if (!is_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = 9; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = 0; break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 132; break;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *value = 32; break;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X: *value = 2147483647; break;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y:
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z: *value = 65535; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: *value = 49152; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *value = 232448; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR: *value = 233472; break;
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK: *value = 65536; break;
    case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED: *value = setting("NODRIVER_POOLS", 1) != 0; break;
    case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING: *value = 1; break;
    default: *value = 0;
    }
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device)
{
    ENTER();
    if (!is_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    contexts[device].device = device;
    *context = &contexts[device];
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) { ENTER(); (void)device; return CUDA_SUCCESS; }
CUresult cuCtxGetCurrent(CUcontext *context) { ENTER(); *context = current; return CUDA_SUCCESS; }
CUresult cuCtxSetCurrent(CUcontext context) { ENTER(); current = context; return CUDA_SUCCESS; }

CUresult cuCtxGetDevice(CUdevice *device)
{
    ENTER();
    if (!current) return CUDA_ERROR_INVALID_CONTEXT;
    *device = current->device;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest)
{
    ENTER();
    *least = 0;
    *greatest = -5;
    return CUDA_SUCCESS;
}

CUresult cuCtxSynchronize(void) { ENTER(); return current ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT; }

/* ---- streams and events --------------------------------------------------------------------------------------- */

struct CUstream_st {
    CUcontext context;
    unsigned flags;
    int priority;
    CUgraph graph; /* what is being captured, or NULL */
    int broken;    /* whether something that cannot be captured was asked for */
};
struct CUevent_st { struct timespec time; int captured; };

static CUgraph graph_of(CUstream stream) { return (size_t)stream < 3 ? NULL : stream->graph; }

/* What a call that cannot be captured returns from a capturing stream, which is of no use from then on. */
static CUresult unfit(CUstream stream, CUresult error)
{
    if (!graph_of(stream)) return CUDA_SUCCESS;
    stream->broken = 1;
    return error;
}

#define NOT_CAPTURED(stream)                                                                                         \
    do {                                                                                                             \
        CUresult unfit_ = unfit(stream, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);                                      \
        if (unfit_) return unfit_;                                                                                   \
    } while (0)

/* Where a stream's work runs; the three handles below 3 stand for the current context's default stream. */
static CUcontext context_of(CUstream stream) { return (size_t)stream < 3 ? current : stream->context; }

CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int priority)
{
    ENTER();
    if (!current) return CUDA_ERROR_INVALID_CONTEXT;
    *stream = malloc(sizeof **stream);
    (*stream)->priority = priority;
    (*stream)->context = current;
    (*stream)->flags = flags;
    (*stream)->graph = NULL;
    (*stream)->broken = 0;
    return CUDA_SUCCESS;
}

CUresult cuStreamDestroy_v2(CUstream stream)
{
    ENTER();
    if (stream->graph) cuGraphDestroy(stream->graph);
    free(stream);
    return CUDA_SUCCESS;
}

CUresult cuStreamSynchronize(CUstream stream)
{
    ENTER();
    NOT_CAPTURED(stream);
    return context_of(stream) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult cuStreamQuery(CUstream stream)
{
    ENTER();
    NOT_CAPTURED(stream);
    return context_of(stream) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult cuStreamGetFlags(CUstream stream, unsigned *flags)
{
    ENTER();
    *flags = (size_t)stream < 3 ? 0 : stream->flags;
    return CUDA_SUCCESS;
}

CUresult cuStreamGetPriority(CUstream stream, int *priority)
{
    ENTER();
    *priority = (size_t)stream < 3 ? 0 : stream->priority;
    return CUDA_SUCCESS;
}

CUresult cuStreamGetCtx(CUstream stream, CUcontext *context)
{
    ENTER();
    *context = context_of(stream);
    return CUDA_SUCCESS;
}

CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags)
{
    ENTER();
    (void)flags;
    return event->captured ? CUDA_SUCCESS : unfit(stream, CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
}

CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus *status)
{
    ENTER();
    *status = !graph_of(stream)   ? CU_STREAM_CAPTURE_STATUS_NONE
              : stream->broken ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                               : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    return CUDA_SUCCESS;
}

CUresult cuEventCreate(CUevent *event, unsigned flags)
{
    ENTER();
    (void)flags;
    if (!current) return CUDA_ERROR_INVALID_CONTEXT;
    *event = calloc(1, sizeof **event);
    return CUDA_SUCCESS;
}

CUresult cuEventRecord(CUevent event, CUstream stream)
{
    ENTER();
    event->captured = graph_of(stream) != NULL;
    clock_gettime(CLOCK_MONOTONIC, &event->time);
    return CUDA_SUCCESS;
}

CUresult cuEventDestroy_v2(CUevent event) { ENTER(); free(event); return CUDA_SUCCESS; }

CUresult cuEventSynchronize(CUevent event)
{
    ENTER();
    return event->captured ? CUDA_ERROR_CAPTURED_EVENT : CUDA_SUCCESS;
}

CUresult cuEventQuery(CUevent event)
{
    ENTER();
    return event->captured ? CUDA_ERROR_CAPTURED_EVENT : CUDA_SUCCESS;
}

CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end)
{
    ENTER();
    double seconds = (double)(end->time.tv_sec - start->time.tv_sec);
    *milliseconds = (float)(seconds * 1e3 + (double)(end->time.tv_nsec - start->time.tv_nsec) * 1e-6);
    return CUDA_SUCCESS;
}

CUresult cuEventElapsedTime_v2(float *milliseconds, CUevent start, CUevent end)
{
    return cuEventElapsedTime(milliseconds, start, end);
}

/* ---- memory --------------------------------------------------------------------------------------------------- */

struct allocation {
    struct allocation *next;
    char *base;
    size_t bytes;
    int device; /* -1: pinned host memory */
};

struct CUmemPoolHandle_st { int device; cuuint64_t threshold; };
static struct CUmemPoolHandle_st pools[MAX_DEVICES];
static struct allocation *allocations;
static size_t used[MAX_DEVICES];

/* Fresh and freed memory is filled with bytes that nobody takes for data (as floats: -4.3e8 and -2.0e18). */
static CUresult allocate(int device, size_t bytes, void **out)
{
    if (!bytes) return CUDA_ERROR_INVALID_VALUE;
    struct allocation *made = malloc(sizeof *made);
    void *base = NULL;
    pthread_mutex_lock(&lock);
    int fits = device < 0 || used[device] + bytes <= memory_of_device();
    if (fits && !posix_memalign(&base, 512, bytes)) {
        memset(base, 0xCD, bytes);
        *made = (struct allocation){allocations, base, bytes, device};
        allocations = made;
        if (device >= 0) used[device] += bytes;
    }
    pthread_mutex_unlock(&lock);
    if (!base) free(made);
    *out = base;
    return base ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

static CUresult release(void *base, int host)
{
    pthread_mutex_lock(&lock);
    struct allocation **link = &allocations;
    while (*link && (*link)->base != base) link = &(*link)->next;
    struct allocation *found = *link;
    if (!found || (found->device < 0) != host) {
        pthread_mutex_unlock(&lock);
        return CUDA_ERROR_INVALID_VALUE;
    }
    *link = found->next;
    if (found->device >= 0) used[found->device] -= found->bytes;
    pthread_mutex_unlock(&lock);
    memset(base, 0xDD, found->bytes);
    free(base);
    free(found);
    return CUDA_SUCCESS;
}

/* The device that holds all of [address, address + bytes), or -1. */
static int holder(CUdeviceptr address, size_t bytes)
{
    int device = -1;
    pthread_mutex_lock(&lock);
    for (struct allocation *a = allocations; a; a = a->next)
        if (a->device >= 0 && address >= (CUdeviceptr)a->base && address + bytes <= (CUdeviceptr)a->base + a->bytes)
            device = a->device;
    pthread_mutex_unlock(&lock);
    return device;
}

CUresult cuMemAlloc_v2(CUdeviceptr *out, size_t bytes)
{
    ENTER();
    return current ? allocate(current->device, bytes, (void **)out) : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult cuMemFree_v2(CUdeviceptr base) { ENTER(); return release((void *)base, 0); }

CUresult cuMemAllocFromPoolAsync(CUdeviceptr *out, size_t bytes, CUmemoryPool pool, CUstream stream)
{
    ENTER();
    NOT_CAPTURED(stream);
    if (!context_of(stream)) return CUDA_ERROR_INVALID_CONTEXT;
    return allocate(pool->device, bytes, (void **)out);
}

CUresult cuMemFreeAsync(CUdeviceptr base, CUstream stream)
{
    ENTER();
    NOT_CAPTURED(stream);
    return context_of(stream) ? release((void *)base, 0) : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult cuMemAllocHost_v2(void **out, size_t bytes)
{
    ENTER();
    return current ? allocate(-1, bytes, out) : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult cuMemFreeHost(void *base) { ENTER(); return release(base, 1); }

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *pool, CUdevice device)
{
    ENTER();
    if (!is_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    pools[device].device = device;
    *pool = &pools[device];
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetMemPool(CUmemoryPool *pool, CUdevice device)
{
    ENTER();
    return cuDeviceGetDefaultMemPool(pool, device);
}

CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t keep)
{
    ENTER();
    (void)pool;
    (void)keep;
    return CUDA_SUCCESS;
}

CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void *value)
{
    ENTER();
    if (attribute != CU_MEMPOOL_ATTR_RELEASE_THRESHOLD) return CUDA_ERROR_INVALID_VALUE;
    pool->threshold = *(cuuint64_t *)value;
    return CUDA_SUCCESS;
}

CUresult cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void *value)
{
    ENTER();
    switch (attribute) {
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD: *(cuuint64_t *)value = pool->threshold; break;
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT:
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT: *(cuuint64_t *)value = used[pool->device]; break;
    default: return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

/* A copy by `stream` must come from a thread whose current context is the stream's, and touch that device only. */
static CUresult copy(void *to, const void *from, size_t bytes, CUdeviceptr on_device, CUstream stream)
{
    NOT_CAPTURED(stream);
    if (!current) return CUDA_ERROR_INVALID_CONTEXT;
    if (context_of(stream) != current) return CUDA_ERROR_INVALID_HANDLE;
    if (holder(on_device, bytes) != current->device) return CUDA_ERROR_INVALID_VALUE;
    memcpy(to, from, bytes);
    return CUDA_SUCCESS;
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream)
{
    ENTER();
    return copy((void *)to, from, bytes, to, stream);
}

CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    ENTER();
    return copy(to, (const void *)from, bytes, from, stream);
}

/* From one device to another: the stream may be of either. */
CUresult cuMemcpyPeerAsync(CUdeviceptr to, CUcontext to_context, CUdeviceptr from, CUcontext from_context, size_t bytes,
                           CUstream stream)
{
    ENTER();
    NOT_CAPTURED(stream);
    CUcontext context = context_of(stream);
    if (!context || !to_context || !from_context) return CUDA_ERROR_INVALID_CONTEXT;
    if (context != to_context && context != from_context) return CUDA_ERROR_INVALID_HANDLE;
    if (holder(to, bytes) != to_context->device || holder(from, bytes) != from_context->device)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy((void *)to, (const void *)from, bytes);
    return CUDA_SUCCESS;
}

CUresult cuMemGetInfo_v2(size_t *free_bytes, size_t *total)
{
    ENTER();
    if (!current) return CUDA_ERROR_INVALID_CONTEXT;
    *total = memory_of_device();
    *free_bytes = *total - used[current->device];
    return CUDA_SUCCESS;
}

CUresult cuDeviceCanAccessPeer(int *yes, CUdevice device, CUdevice peer)
{
    ENTER();
    if (!is_device(device) || !is_device(peer)) return CUDA_ERROR_INVALID_DEVICE;
    *yes = device != peer;
    return CUDA_SUCCESS;
}

/* ---- kernels -------------------------------------------------------------------------------------------------- */

struct CUkern_st {
    struct CUkern_st *next;
    char name[256];
    unsigned parameters;
    unsigned short offset[MAX_PARAMETERS], size[MAX_PARAMETERS];
    int shared[MAX_DEVICES]; /* dynamic shared memory it may ask for */
    CUlibrary library;
};

struct CUlib_st { struct CUkern_st *kernels; };

/* A kernel's parameters, from its .nv.info section: entries of (format, attribute, size) and then `size` bytes.
   Attribute 0x17 tells of one parameter: its ordinal, its offset, and its size in the upper 14 bits of a word. */
static int read_parameters(struct CUkern_st *kernel, const unsigned char *at, size_t length)
{
    const unsigned char *end = at + length;
    while (at + 4 <= end) {
        unsigned char format = at[0], attribute = at[1];
        unsigned short size = (unsigned short)(at[2] | at[3] << 8);
        at += 4;
        if (format != 4) continue; /* the value was in the entry itself */
        if (at + size > end) return 0;
        if (attribute == 0x17 && size >= 12) {
            unsigned short ordinal, offset;
            unsigned word;
            memcpy(&ordinal, at + 4, 2);
            memcpy(&offset, at + 6, 2);
            memcpy(&word, at + 8, 4);
            if (ordinal >= MAX_PARAMETERS) return 0;
            kernel->offset[ordinal] = offset;
            kernel->size[ordinal] = (unsigned short)(word >> 18);
            if (ordinal + 1u > kernel->parameters) kernel->parameters = ordinal + 1u;
        }
        at += size;
    }
    return 1;
}

static void forget(CUlibrary library)
{
    while (library->kernels) {
        struct CUkern_st *next = library->kernels->next;
        free(library->kernels);
        library->kernels = next;
    }
    free(library);
}

CUresult cuLibraryLoadData(CUlibrary *out, const void *image, CUjit_option *jit, void **jit_values, unsigned jit_count,
                           CUlibraryOption *options, void **values, unsigned count)
{
    ENTER();
    (void)jit; (void)jit_values; (void)jit_count; (void)options; (void)values; (void)count;
    const Elf64_Ehdr *header = image;
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) || header->e_machine != EM_CUDA)
        return CUDA_ERROR_INVALID_IMAGE;
    const char *bytes = image;
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(bytes + header->e_shoff);
    const char *names = bytes + sections[header->e_shstrndx].sh_offset;
    CUlibrary library = calloc(1, sizeof *library);
    for (int i = 0; i < header->e_shnum; i++) {
        const char *name = names + sections[i].sh_name;
        if (strncmp(name, ".nv.info.", 9)) continue; /* one such section for each kernel */
        struct CUkern_st *kernel = calloc(1, sizeof *kernel);
        snprintf(kernel->name, sizeof kernel->name, "%s", name + 9);
        kernel->library = library;
        kernel->next = library->kernels;
        for (int d = 0; d < MAX_DEVICES; d++) kernel->shared[d] = 49152;
        library->kernels = kernel;
        if (!read_parameters(kernel, (const unsigned char *)bytes + sections[i].sh_offset, sections[i].sh_size)) {
            forget(library);
            return CUDA_ERROR_INVALID_IMAGE;
        }
    }
    *out = library;
    return CUDA_SUCCESS;
}

CUresult cuLibraryUnload(CUlibrary library) { ENTER(); forget(library); return CUDA_SUCCESS; }

CUresult cuLibraryGetKernel(CUkernel *out, CUlibrary library, const char *name)
{
    ENTER();
    for (struct CUkern_st *k = library->kernels; k; k = k->next)
        if (!strcmp(k->name, name)) { *out = k; return CUDA_SUCCESS; }
    return CUDA_ERROR_NOT_FOUND;
}

CUresult cuKernelGetLibrary(CUlibrary *library, CUkernel kernel)
{
    ENTER();
    *library = kernel->library;
    return CUDA_SUCCESS;
}

CUresult cuKernelGetFunction(CUfunction *function, CUkernel kernel)
{
    ENTER();
    *function = (CUfunction)kernel;
    return CUDA_SUCCESS;
}

CUresult cuKernelGetParamInfo(CUkernel kernel, size_t index, size_t *offset, size_t *size)
{
    ENTER();
    if (index >= kernel->parameters) return CUDA_ERROR_INVALID_VALUE;
    *offset = kernel->offset[index];
    if (size) *size = kernel->size[index];
    return CUDA_SUCCESS;
}

CUresult cuKernelGetAttribute(int *value, CUfunction_attribute attribute, CUkernel kernel, CUdevice device)
{
    ENTER();
    if (!is_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: *value = kernel->shared[device]; break;
    default: *value = 0;
    }
    return CUDA_SUCCESS;
}

CUresult cuKernelSetAttribute(CUfunction_attribute attribute, int value, CUkernel kernel, CUdevice device)
{
    ENTER();
    if (!is_device(device)) return CUDA_ERROR_INVALID_DEVICE;
    if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value > 232448)
        return CUDA_ERROR_INVALID_VALUE;
    kernel->shared[device] = value;
    return CUDA_SUCCESS;
}

/* ---- launches ------------------------------------------------------------------------------------------------- */

struct launch { /* nodriver.py reads this structure */
    char name[256];
    unsigned grid[3], block[3], shared, parameters;
    int device;
    unsigned short offset[MAX_PARAMETERS], size[MAX_PARAMETERS];
    unsigned char bytes[PARAMETER_BYTES];
    unsigned long long stream;
    unsigned long long graph; /* that it is a node of, or 0 */
};

static struct launch launches[KEPT_LAUNCHES]; /* the latest ones, in a ring */
static unsigned long long launched;

static void record(const struct launch *launch)
{
    pthread_mutex_lock(&lock);
    launches[launched++ % KEPT_LAUNCHES] = *launch;
    pthread_mutex_unlock(&lock);
}

/* A node of a graph: a launch, or a copy within a device. */
struct node {
    struct node *next;
    struct launch launch;
    unsigned char points[MAX_PARAMETERS]; /* whether a parameter was an address of device memory when it was captured */
    CUdeviceptr to, from;
    size_t bytes; /* of a copy; 0: a launch */
};

struct CUgraph_st { struct node *first, **last; int users; };
struct CUgraphExec_st { CUgraph graph; CUcontext context; };
static int graphs; /* graphs and executable graphs that have not been destroyed */

static struct node *append(CUgraph graph)
{
    struct node *node = calloc(1, sizeof *node);
    *graph->last = node;
    graph->last = &node->next;
    return node;
}

static void drop(CUgraph graph)
{
    if (--graph->users) return;
    while (graph->first) {
        struct node *next = graph->first->next;
        free(graph->first);
        graph->first = next;
    }
    free(graph);
}

static CUdeviceptr address(const struct launch *launch, unsigned parameter)
{
    CUdeviceptr value = 0;
    if (launch->size[parameter] == 8 && launch->offset[parameter] + 8 <= PARAMETER_BYTES)
        memcpy(&value, launch->bytes + launch->offset[parameter], 8);
    return value;
}

CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction function, void **parameters, void **extra)
{
    ENTER();
    CUkernel kernel = (CUkernel)function;
    CUcontext context = context_of(config->hStream);
    if (!context) return CUDA_ERROR_INVALID_CONTEXT;
    unsigned long long threads = (unsigned long long)config->blockDimX * config->blockDimY * config->blockDimZ;
    unsigned long long programs = (unsigned long long)config->gridDimX * config->gridDimY * config->gridDimZ;
    if (extra || !programs || !threads || threads > 1024) return CUDA_ERROR_INVALID_VALUE;
    if (config->gridDimX > 2147483647u || config->gridDimY > 65535 || config->gridDimZ > 65535)
        return CUDA_ERROR_INVALID_VALUE;
    if (config->sharedMemBytes > (unsigned)kernel->shared[context->device]) return CUDA_ERROR_INVALID_VALUE;
    struct launch made = {.shared = config->sharedMemBytes, .device = context->device, .parameters = kernel->parameters};
    memcpy(made.name, kernel->name, sizeof made.name);
    made.grid[0] = config->gridDimX, made.grid[1] = config->gridDimY, made.grid[2] = config->gridDimZ;
    made.block[0] = config->blockDimX, made.block[1] = config->blockDimY, made.block[2] = config->blockDimZ;
    made.stream = (unsigned long long)config->hStream;
    for (unsigned i = 0; i < kernel->parameters; i++) {
        made.offset[i] = kernel->offset[i];
        made.size[i] = kernel->size[i];
        if (kernel->offset[i] + kernel->size[i] <= PARAMETER_BYTES)
            memcpy(made.bytes + kernel->offset[i], parameters[i], kernel->size[i]);
    }
    CUgraph graph = graph_of(config->hStream);
    if (!graph) {
        record(&made);
        return CUDA_SUCCESS;
    }
    struct node *node = append(graph);
    node->launch = made;
    for (unsigned i = 0; i < made.parameters; i++) node->points[i] = holder(address(&made, i), 1) >= 0;
    return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                        unsigned shared, CUstream stream, void **parameters, void **extra)
{
    CUlaunchConfig config = {gx, gy, gz, bx, by, bz, shared, stream, NULL, 0};
    return cuLaunchKernelEx(&config, function, parameters, extra);
}

/* ---- graphs --------------------------------------------------------------------------------------------------- */

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    ENTER();
    CUcontext context = context_of(stream);
    if (!context) return CUDA_ERROR_INVALID_CONTEXT;
    if (!bytes || holder(to, bytes) != context->device || holder(from, bytes) != context->device)
        return CUDA_ERROR_INVALID_VALUE;
    if (graph_of(stream)) {
        struct node *node = append(stream->graph);
        node->to = to, node->from = from, node->bytes = bytes;
    } else {
        memmove((void *)to, (const void *)from, bytes);
    }
    return CUDA_SUCCESS;
}

/* Relaxed captures only, which forbid the thread nothing but what concerns the capturing stream itself. */
CUresult cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode)
{
    ENTER();
    if ((size_t)stream < 3) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (mode != CU_STREAM_CAPTURE_MODE_RELAXED) return CUDA_ERROR_NOT_SUPPORTED;
    NOT_CAPTURED(stream);
    stream->graph = calloc(1, sizeof *stream->graph);
    stream->graph->last = &stream->graph->first;
    stream->graph->users = 1;
    stream->broken = 0;
    __atomic_add_fetch(&graphs, 1, __ATOMIC_SEQ_CST);
    return CUDA_SUCCESS;
}

CUresult cuGraphDestroy(CUgraph graph)
{
    ENTER();
    __atomic_sub_fetch(&graphs, 1, __ATOMIC_SEQ_CST);
    drop(graph);
    return CUDA_SUCCESS;
}

CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph)
{
    ENTER();
    if (!graph_of(stream)) return CUDA_ERROR_INVALID_VALUE;
    *graph = stream->graph;
    stream->graph = NULL;
    if (!stream->broken) return CUDA_SUCCESS;
    cuGraphDestroy(*graph);
    *graph = NULL;
    return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *out, CUgraph graph, unsigned long long flags)
{
    ENTER();
    if (flags || !current) return CUDA_ERROR_INVALID_VALUE;
    *out = malloc(sizeof **out);
    **out = (struct CUgraphExec_st){graph, current};
    graph->users++;
    __atomic_add_fetch(&graphs, 1, __ATOMIC_SEQ_CST);
    return CUDA_SUCCESS;
}

CUresult cuGraphExecDestroy(CUgraphExec executable)
{
    ENTER();
    __atomic_sub_fetch(&graphs, 1, __ATOMIC_SEQ_CST);
    drop(executable->graph);
    free(executable);
    return CUDA_SUCCESS;
}

CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream)
{
    ENTER();
    NOT_CAPTURED(stream);
    if (context_of(stream) != executable->context) return CUDA_ERROR_INVALID_CONTEXT;
    static int idle = -1;
    if (idle < 0) idle = setting("NODRIVER_GRAPHS", 1) == 0;
    if (idle) return CUDA_SUCCESS;
    for (struct node *node = executable->graph->first; node; node = node->next) {
        if (node->bytes) {
            if (holder(node->to, node->bytes) < 0 || holder(node->from, node->bytes) < 0)
                return CUDA_ERROR_ILLEGAL_ADDRESS;
            memmove((void *)node->to, (const void *)node->from, node->bytes);
            continue;
        }
        for (unsigned i = 0; i < node->launch.parameters; i++) {
            if (!node->points[i] || holder(address(&node->launch, i), 1) >= 0) continue;
            if (setting("NODRIVER_LOG", 0))
                fprintf(stderr, "nodriver: parameter %u of %s in a graph is no longer allocated\n", i, node->launch.name);
            return CUDA_ERROR_ILLEGAL_ADDRESS;
        }
        node->launch.stream = (unsigned long long)stream;
        node->launch.graph = (unsigned long long)executable;
        record(&node->launch);
    }
    return CUDA_SUCCESS;
}

/* ---- looking functions up ------------------------------------------------------------------------------------- */

CUresult cuGetProcAddress_v2(const char *name, void **function, int asked, cuuint64_t flags,
                             CUdriverProcAddressQueryResult *status);
CUresult cuGetProcAddress(const char *name, void **function, int asked, cuuint64_t flags);

#define SAME(name) {#name, 0, (void *)name}
static const struct { const char *name; int since; void *function; } table[] = {
    /* where a name has two versions the newer stands first */
    SAME(cuInit), SAME(cuDriverGetVersion), SAME(cuGetErrorName), SAME(cuGetErrorString),
    {"cuGetProcAddress", 12000, (void *)cuGetProcAddress_v2}, {"cuGetProcAddress", 11030, (void *)cuGetProcAddress},
    SAME(cuDeviceGetCount), SAME(cuDeviceGet), SAME(cuDeviceGetName), SAME(cuDeviceGetAttribute),
    {"cuDeviceGetUuid", 11040, (void *)cuDeviceGetUuid_v2}, {"cuDeviceTotalMem", 3020, (void *)cuDeviceTotalMem_v2},
    SAME(cuDevicePrimaryCtxRetain), {"cuDevicePrimaryCtxRelease", 11000, (void *)cuDevicePrimaryCtxRelease_v2},
    SAME(cuCtxGetCurrent), SAME(cuCtxSetCurrent), SAME(cuCtxGetDevice), SAME(cuCtxGetStreamPriorityRange),
    SAME(cuCtxSynchronize),
    SAME(cuStreamCreateWithPriority), {"cuStreamDestroy", 4000, (void *)cuStreamDestroy_v2}, SAME(cuStreamSynchronize),
    SAME(cuStreamGetFlags), SAME(cuStreamGetPriority), SAME(cuStreamGetCtx), SAME(cuStreamWaitEvent), SAME(cuStreamQuery),
    SAME(cuStreamIsCapturing), {"cuStreamBeginCapture", 10010, (void *)cuStreamBeginCapture_v2}, SAME(cuStreamEndCapture),
    {"cuGraphInstantiate", 12000, (void *)cuGraphInstantiateWithFlags}, SAME(cuGraphInstantiateWithFlags), SAME(cuGraphLaunch),
    SAME(cuGraphDestroy), SAME(cuGraphExecDestroy), {"cuMemcpyDtoDAsync", 3020, (void *)cuMemcpyDtoDAsync_v2},
    SAME(cuEventCreate), SAME(cuEventRecord), {"cuEventDestroy", 4000, (void *)cuEventDestroy_v2}, SAME(cuEventSynchronize),
    SAME(cuEventQuery), {"cuEventElapsedTime", 12080, (void *)cuEventElapsedTime_v2}, SAME(cuEventElapsedTime),
    {"cuMemAlloc", 3020, (void *)cuMemAlloc_v2}, {"cuMemFree", 3020, (void *)cuMemFree_v2},
    {"cuMemAllocHost", 3020, (void *)cuMemAllocHost_v2}, SAME(cuMemFreeHost),
    SAME(cuMemAllocFromPoolAsync), SAME(cuMemFreeAsync), SAME(cuDeviceGetDefaultMemPool), SAME(cuDeviceGetMemPool),
    SAME(cuMemPoolTrimTo), SAME(cuMemPoolSetAttribute), SAME(cuMemPoolGetAttribute),
    {"cuMemcpyHtoDAsync", 3020, (void *)cuMemcpyHtoDAsync_v2}, {"cuMemcpyDtoHAsync", 3020, (void *)cuMemcpyDtoHAsync_v2},
    SAME(cuMemcpyPeerAsync), {"cuMemGetInfo", 3020, (void *)cuMemGetInfo_v2}, SAME(cuDeviceCanAccessPeer),
    {"cuLibraryLoadData", 12000, (void *)cuLibraryLoadData}, {"cuLibraryUnload", 12000, (void *)cuLibraryUnload},
    {"cuLibraryGetKernel", 12000, (void *)cuLibraryGetKernel}, {"cuKernelGetFunction", 12000, (void *)cuKernelGetFunction},
    {"cuKernelGetAttribute", 12000, (void *)cuKernelGetAttribute}, {"cuKernelSetAttribute", 12000, (void *)cuKernelSetAttribute},
    {"cuKernelGetLibrary", 12050, (void *)cuKernelGetLibrary}, {"cuKernelGetParamInfo", 12040, (void *)cuKernelGetParamInfo},
    SAME(cuLaunchKernel), {"cuLaunchKernelEx", 11060, (void *)cuLaunchKernelEx},
};

CUresult cuGetProcAddress_v2(const char *name, void **function, int asked, cuuint64_t flags,
                             CUdriverProcAddressQueryResult *status)
{
    (void)flags;
    *function = NULL;
    CUdriverProcAddressQueryResult answer = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(table[i].name, name)) continue;
        if (table[i].since > version() || table[i].since > asked) {
            answer = CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT;
            continue;
        }
        *function = table[i].function;
        answer = CU_GET_PROC_ADDRESS_SUCCESS;
        break;
    }
    if (status) *status = answer;
    if (!*function && setting("NODRIVER_LOG", 0))
        fprintf(stderr, "nodriver: no %s (asked for version %d)\n", name, asked);
    return *function ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

CUresult cuGetProcAddress(const char *name, void **function, int asked, cuuint64_t flags)
{
    return cuGetProcAddress_v2(name, function, asked, flags, NULL);
}

/* ---- what the tests call -------------------------------------------------------------------------------------- */

unsigned long long nodriver_launches(void) { return launched; }

/* The launch with this number, counted from 0, while it is among those kept; else NULL. */
const struct launch *nodriver_launch(unsigned long long number)
{
    return number < launched && launched - number <= KEPT_LAUNCHES ? &launches[number % KEPT_LAUNCHES] : NULL;
}

/* The device whose context is current in this thread, or -1. */
int nodriver_context(void) { return current ? current->device : -1; }

/* Whether there is device memory at an address. */
int nodriver_holds(unsigned long long address) { return holder(address, 1) >= 0; }

/* Graphs and executable graphs that have not been destroyed. */
int nodriver_graphs(void) { return graphs; }

/* How often a function was called, faults included. */
unsigned long long nodriver_calls(const char *name)
{
    pthread_mutex_lock(&lock);
    unsigned long long count = call_of(name)->count;
    pthread_mutex_unlock(&lock);
    return count;
}

/* Let `name` succeed `skip` more times and then fail once with `error`. */
void nodriver_fail(const char *name, int error, long long skip)
{
    pthread_mutex_lock(&lock);
    struct call *call = call_of(name);
    call->fault = (CUresult)error;
    call->skip = skip;
    pthread_mutex_unlock(&lock);
}

/* Bytes of device memory handed out and not yet freed; of pinned host memory where `device` is -1. */
unsigned long long nodriver_allocated(int device)
{
    unsigned long long sum = 0;
    pthread_mutex_lock(&lock);
    for (struct allocation *a = allocations; a; a = a->next)
        if (a->device == device) sum += a->bytes;
    pthread_mutex_unlock(&lock);
    return sum;
}
