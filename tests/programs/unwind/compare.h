/* Holds a stack that the probe captured against libgcc's, frame for frame. */
#ifndef COMPARE_H
#define COMPARE_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unwind.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MOST 128
#define FOLDED (1u << 16)
#define CUT (1u << 17)
#define NO_DATA (1u << 18)

struct module {
    size_t start, end, bias, build_id_bytes;
    uint32_t epoch;
    unsigned char build_id[20];
    char path[256];
};
/* Entry points of the probe, whose path is in PROBE. */
static int (*probe_start_at)(void);
static size_t (*probe_capture)(uintptr_t *frames, size_t depth, uint32_t *flags);
static size_t (*probe_known)(void);
static size_t (*probe_repeat)(size_t times, size_t depth);
static uint32_t (*probe_bump_epoch)(void);
static void (*probe_begin_again)(void);
static size_t (*probe_modules)(struct module *out, size_t room);

static int probe_start(void) {
    const char *path = getenv("PROBE");
    void *probe = path ? dlopen(path, RTLD_NOW) : NULL;
    if (!probe) {
        printf("PROBE: %s\n", path ? dlerror() : "not set");
        return 0;
    }
    *(void **)&probe_start_at = dlsym(probe, "probe_start");
    *(void **)&probe_capture = dlsym(probe, "probe_capture");
    *(void **)&probe_known = dlsym(probe, "probe_known");
    *(void **)&probe_repeat = dlsym(probe, "probe_repeat");
    *(void **)&probe_bump_epoch = dlsym(probe, "probe_bump_epoch");
    *(void **)&probe_begin_again = dlsym(probe, "probe_begin_again");
    *(void **)&probe_modules = dlsym(probe, "probe_modules");
    return probe_start_at && probe_capture && probe_known && probe_repeat && probe_bump_epoch && probe_begin_again &&
           probe_modules && probe_start_at();
}

struct reference {
    uintptr_t frames[8192];
    size_t count;
};

static _Unwind_Reason_Code take_frame(struct _Unwind_Context *context, void *into) {
    struct reference *reference = (struct reference *)into;
    int before = 0;
    uintptr_t ip = _Unwind_GetIPInfo(context, &before);
    if (ip != 0 && reference->count < 8192)
        reference->frames[reference->count++] = ip + (before ? 1 : 0);
    return _URC_NO_REASON;
}

static volatile int mismatches, comparisons, deepest;

static void say(const char *where, const uintptr_t *a, size_t na, const uintptr_t *b, size_t nb) {
    printf("MISMATCH %s: probe %zu, libgcc %zu\n", where, na, nb);
    for (size_t i = 0; i < na || i < nb; i++) {
        Dl_info info;
        uintptr_t pc = i < nb ? b[i] : a[i];
        const char *name = dladdr((void *)(pc - 1), &info) && info.dli_sname ? info.dli_sname : "?";
        printf("  %2zu %16lx %16lx %s\n", i, i < na ? a[i] : 0, i < nb ? b[i] : 0, name);
    }
}

/* Both take the stack of this function; the first frame differs by the place in it. */
__attribute__((noinline, unused)) static int compare_flags(const char *where, uint32_t allowed) {
    uintptr_t frames[MOST];
    static struct reference reference; /* one thread at a time compares */
    uint32_t flags = 0;
    reference.count = 0;
    size_t count = probe_capture(frames, MOST, &flags);
    _Unwind_Backtrace(take_frame, &reference);
    if ((int)count > deepest) deepest = (int)count;
    if (count == reference.count && count > 1 && (flags & ~allowed) == 0 &&
        memcmp(frames + 1, reference.frames + 1, (count - 1) * sizeof *frames) == 0)
        return 0;
    mismatches++;
    if (mismatches < 4) {
        printf("flags %x\n", flags);
        say(where, frames, count, reference.frames, reference.count);
    }
    return 1;
}

__attribute__((noinline, unused)) static int compare(const char *where) {
    int r = compare_flags(where, 0);
    comparisons++;
    return r;
}

__attribute__((unused)) static int finish(void) {
    printf("comparisons %d, deepest %d, mismatches %d\n", comparisons, deepest, mismatches);
    return mismatches != 0 || comparisons == 0;
}

#ifdef __cplusplus
}
#endif
#endif
