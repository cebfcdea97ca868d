/* resshim.h: name your own resources in resshim's report.
 *
 * All functions do nothing when the program does not run under resshim, in executables of any kind
 * and in shared objects. They never block and never fail the caller; strings are copied.
 *
 * A weak reference would do in position-independent code only: in a plain executable the linker settles it
 * as null for good. So the functions are looked up by name, once each. Before glibc 2.34 that needs -ldl.
 */
#ifndef RESSHIM_H
#define RESSHIM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#define RESSHIM_THROW noexcept
#else
#define RESSHIM_THROW
#endif

#if defined(__cplusplus) && defined(__GLIBC__)
extern void *dlsym(void *, const char *) noexcept;
#else
extern void *dlsym(void *, const char *);
#endif

/* The function of this name, or null; asks the dynamic loader once (RTLD_DEFAULT is 0 in glibc). */
static inline void *resshim_find_(void **slot, const char *name)
{
    void *found = __atomic_load_n(slot, __ATOMIC_RELAXED);
    if (!found) {
        found = dlsym((void *)0, name);
        /* 1 stands for "not there", so that the next call does not ask again. */
        __atomic_store_n(slot, found ? found : (void *)1, __ATOMIC_RELAXED);
    }
    return found == (void *)1 ? (void *)0 : found;
}

/* A resource of your own kind begins: kind is a word such as "session", handle names it within its kind. */
static inline void resshim_acquire(const char *kind, uint64_t handle, const char *label)
{
    static void *slot;
    void *f = resshim_find_(&slot, "resshim_acquire");
    if (f)
        ((void (*)(const char *, uint64_t, const char *))f)(kind, handle, label);
}

/* It ends. */
static inline void resshim_release(const char *kind, uint64_t handle)
{
    static void *slot;
    void *f = resshim_find_(&slot, "resshim_release");
    if (f)
        ((void (*)(const char *, uint64_t))f)(kind, handle);
}

/* It goes to another state. */
static inline void resshim_state(const char *kind, uint64_t handle, const char *state)
{
    static void *slot;
    void *f = resshim_find_(&slot, "resshim_state");
    if (f)
        ((void (*)(const char *, uint64_t, const char *))f)(kind, handle, state);
}

/* One resource needs another: relation is a word such as "waits-for". */
static inline void resshim_depends(const char *from_kind, uint64_t from, const char *to_kind,
                                   uint64_t to, const char *relation)
{
    static void *slot;
    void *f = resshim_find_(&slot, "resshim_depends");
    if (f)
        ((void (*)(const char *, uint64_t, const char *, uint64_t, const char *))f)(
            from_kind, from, to_kind, to, relation);
}

/* A phase of the program begins. "exit" is reserved: what is released after it was still open at exit. */
static inline void resshim_phase(const char *name)
{
    static void *slot;
    void *f = resshim_find_(&slot, "resshim_phase");
    if (f)
        ((void (*)(const char *))f)(name);
}

/* Resources of this kind acquired here are expected to live no longer than so many seconds. */
static inline void resshim_expect(const char *kind, double seconds)
{
    static void *slot;
    void *f = resshim_find_(&slot, "resshim_expect");
    if (f)
        ((void (*)(const char *, double))f)(kind, seconds);
}

/* Calls back with what is live now; kind null = all kinds. A non-zero return stops. */
static inline void resshim_each(const char *kind,
                                int (*callback)(void *context, const char *kind, uint64_t handle,
                                                const char *label),
                                void *context)
{
    static void *slot;
    void *f = resshim_find_(&slot, "resshim_each");
    if (f)
        ((void (*)(const char *, int (*)(void *, const char *, uint64_t, const char *), void *))f)(
            kind, callback, context);
}

#ifdef __cplusplus
}
#endif
#endif
