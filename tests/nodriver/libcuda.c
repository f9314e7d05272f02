/* A CUDA driver without a GPU: it lets the tests run trigrad's cuda device on any Linux machine.
 *
 * Device memory is host memory and copies are real, so data that goes in comes out.  Kernels are not run: a launch
 * is checked as the real driver checks it (stream, grid, threads, shared memory) and recorded, together with the bytes
 * of every parameter.  How many parameters a kernel has, and how wide they are, is read from the cubin itself.
 * Work is done at once, inside the call that asks for it.
 *
 * Environment, read when the driver is first called:
 *   NODRIVER_DEVICES  number of devices (2)          NODRIVER_VERSION  version it claims to have (13000)
 *   NODRIVER_MEMORY   bytes on each device (80 GiB)  NODRIVER_INIT     what cuInit returns (0)
 *   NODRIVER_POOLS    0: no stream-ordered memory
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
    ERROR(CUDA_ERROR_NOT_FOUND, "named symbol not found"),
    ERROR(CUDA_ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered"),
    ERROR(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "too many resources requested for launch"),
    ERROR(CUDA_ERROR_LAUNCH_FAILED, "unspecified launch failure"),
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

struct CUstream_st { CUcontext context; unsigned flags; };
struct CUevent_st { struct timespec time; };

/* Where a stream's work runs; the three handles below 3 stand for the current context's default stream. */
static CUcontext context_of(CUstream stream) { return (size_t)stream < 3 ? current : stream->context; }

CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int priority)
{
    ENTER();
    (void)priority;
    if (!current) return CUDA_ERROR_INVALID_CONTEXT;
    *stream = malloc(sizeof **stream);
    (*stream)->context = current;
    (*stream)->flags = flags;
    return CUDA_SUCCESS;
}

CUresult cuStreamDestroy_v2(CUstream stream) { ENTER(); free(stream); return CUDA_SUCCESS; }

CUresult cuStreamSynchronize(CUstream stream)
{
    ENTER();
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
    (void)stream;
    *priority = 0;
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
    (void)stream;
    (void)event;
    (void)flags;
    return CUDA_SUCCESS;
}

CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus *status)
{
    ENTER();
    (void)stream;
    *status = CU_STREAM_CAPTURE_STATUS_NONE;
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
    (void)stream;
    clock_gettime(CLOCK_MONOTONIC, &event->time);
    return CUDA_SUCCESS;
}

CUresult cuEventDestroy_v2(CUevent event) { ENTER(); free(event); return CUDA_SUCCESS; }
CUresult cuEventSynchronize(CUevent event) { ENTER(); (void)event; return CUDA_SUCCESS; }
CUresult cuEventQuery(CUevent event) { ENTER(); (void)event; return CUDA_SUCCESS; }

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
    if (!context_of(stream)) return CUDA_ERROR_INVALID_CONTEXT;
    return allocate(pool->device, bytes, (void **)out);
}

CUresult cuMemFreeAsync(CUdeviceptr base, CUstream stream)
{
    ENTER();
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
};

static struct launch launches[KEPT_LAUNCHES]; /* the latest ones, in a ring */
static unsigned long long launched;

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
    pthread_mutex_lock(&lock);
    struct launch *record = &launches[launched++ % KEPT_LAUNCHES];
    memcpy(record->name, kernel->name, sizeof record->name);
    record->grid[0] = config->gridDimX, record->grid[1] = config->gridDimY, record->grid[2] = config->gridDimZ;
    record->block[0] = config->blockDimX, record->block[1] = config->blockDimY, record->block[2] = config->blockDimZ;
    record->shared = config->sharedMemBytes;
    record->device = context->device;
    record->stream = (unsigned long long)config->hStream;
    record->parameters = kernel->parameters;
    for (unsigned i = 0; i < kernel->parameters; i++) {
        record->offset[i] = kernel->offset[i];
        record->size[i] = kernel->size[i];
        if (kernel->offset[i] + kernel->size[i] <= PARAMETER_BYTES)
            memcpy(record->bytes + kernel->offset[i], parameters[i], kernel->size[i]);
    }
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                        unsigned shared, CUstream stream, void **parameters, void **extra)
{
    CUlaunchConfig config = {gx, gy, gz, bx, by, bz, shared, stream, NULL, 0};
    return cuLaunchKernelEx(&config, function, parameters, extra);
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
    SAME(cuStreamGetFlags), SAME(cuStreamGetPriority), SAME(cuStreamGetCtx), SAME(cuStreamWaitEvent),
    SAME(cuStreamIsCapturing),
    SAME(cuEventCreate), SAME(cuEventRecord), {"cuEventDestroy", 4000, (void *)cuEventDestroy_v2}, SAME(cuEventSynchronize),
    SAME(cuEventQuery), {"cuEventElapsedTime", 12080, (void *)cuEventElapsedTime_v2}, SAME(cuEventElapsedTime),
    {"cuMemAlloc", 3020, (void *)cuMemAlloc_v2}, {"cuMemFree", 3020, (void *)cuMemFree_v2},
    {"cuMemAllocHost", 3020, (void *)cuMemAllocHost_v2}, SAME(cuMemFreeHost),
    SAME(cuMemAllocFromPoolAsync), SAME(cuMemFreeAsync), SAME(cuDeviceGetDefaultMemPool), SAME(cuDeviceGetMemPool),
    SAME(cuMemPoolTrimTo), SAME(cuMemPoolSetAttribute), SAME(cuMemPoolGetAttribute),
    {"cuMemcpyHtoDAsync", 3020, (void *)cuMemcpyHtoDAsync_v2}, {"cuMemcpyDtoHAsync", 3020, (void *)cuMemcpyDtoHAsync_v2},
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
