// build: -O2 -fomit-frame-pointer -Wno-unused-parameter -ldl
// C without frame pointers: alloca, large frames, realigned stacks, callbacks through libc, signals in
// the midst of anything, other stacks. Ends with 1 if one stack differs from libgcc's.
#include "compare.h"
#include <alloca.h>
#include <pthread.h>
#include <search.h>
#include <signal.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

static volatile int sink;

NOINLINE static int plain(const char *where) {
    int r = compare(where);
    sink++;
    return r;
}
NOINLINE static int with_alloca(int n) {
    char *p = alloca(n * 37);
    memset(p, n, n * 37);
    int r = plain("alloca");
    sink += p[n];
    return r;
}
NOINLINE static int with_array(int n) {
    volatile char large[100000];
    large[n] = 1;
    int r = n > 0 ? with_array(n - 1) : with_alloca(9);
    sink += large[n];
    return r;
}
NOINLINE static int realigned(int n) {
    volatile char wide[64] __attribute__((aligned(64)));
    char *p = alloca(n);
    wide[n & 63] = 1;
    p[0] = 1;
    int r = n > 0 ? realigned(n / 2) : with_array(2);
    sink += wide[n & 63] + p[0];
    return r;
}
__attribute__((force_align_arg_pointer)) NOINLINE static int forced(int a, int b, int c, int d, int e,
                                                                    int f, int g, int h) {
    volatile char wide[32] __attribute__((aligned(32)));
    wide[a] = g + h;
    int r = realigned(40);
    sink += wide[a] + b + c + d + e + f;
    return r;
}
/* Keeps all callee-saved registers, the frame pointer among them, as numbers. */
NOINLINE static long busy(long a, long b, long c, long d, long e, long f) {
    for (int i = 0; i < 3; i++) {
        a += b * c; b ^= d; c += e; d -= f; e ^= a; f += b;
        sink += forced(1, 2, 3, 4, 5, 6, 7, 8);
    }
    return a + b + c + d + e + f;
}
static int by_number(const void *a, const void *b) {
    static int calls;
    if (calls++ % 5 == 0) plain("qsort callback");
    return *(const int *)a - *(const int *)b;
}
static void visit(const void *node, VISIT which, int depth) {
    (void)node; (void)which; (void)depth;
    plain("twalk callback");
}
static void libc_callbacks(void) {
    int numbers[20];
    void *tree = NULL;
    for (int i = 0; i < 20; i++) numbers[i] = (i * 7) % 20;
    qsort(numbers, 20, sizeof *numbers, by_number);
    for (int i = 0; i < 20; i++) tsearch(&numbers[i], &tree, by_number);
    twalk(tree, visit);
}

/* Signals: raised, on another stack, and at moments that a timer picks (prologues, PLT, libc). */
static void on_signal(int number) {
    (void)number;
    plain("signal handler");
}
static volatile int ticks;
static void on_tick(int number) {
    (void)number;
    compare("interrupted");
    ticks++;
}
NOINLINE static int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
static void signals(void) {
    static char other[65536];
    stack_t stack = {.ss_sp = other, .ss_size = sizeof other};
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    sigaltstack(&stack, NULL);
    action.sa_flags = SA_ONSTACK;
    sigaction(SIGUSR2, &action, NULL);
    raise(SIGUSR2);
    action.sa_handler = on_tick;
    action.sa_flags = SA_RESTART;
    sigaction(SIGPROF, &action, NULL);
    struct itimerval timer = {{0, 1000}, {0, 1000}};
    setitimer(ITIMER_PROF, &timer, NULL);
    char text[64];
    for (long i = 0; ticks < 150; i++) {
        snprintf(text, sizeof text, "%ld %f", i, i * 0.5);
        sink += (int)strtol(text, NULL, 10) + fibonacci(12);
        free(malloc(i % 1000));
        sink += (int)strlen(text) + getpid();
    }
    struct itimerval none = {{0, 0}, {0, 0}};
    setitimer(ITIMER_PROF, &none, NULL);
}

static void *in_thread(void *argument) {
    (void)argument;
    plain("thread");
    return NULL;
}
static void *in_small_thread(void *argument) {
    uintptr_t frames[32];
    uint32_t flags = 0;
    size_t count = probe_capture(frames, 32, &flags);
    *(size_t *)argument = flags == 0 ? count : 0;
    return NULL;
}
static void threads(void) {
    pthread_t thread;
    pthread_attr_t attributes;
    size_t count = 0;
    for (int i = 0; i < 3; i++) {
        pthread_create(&thread, NULL, in_thread, NULL);
        pthread_join(thread, NULL);
    }
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 16384);
    if (pthread_create(&thread, &attributes, in_small_thread, &count) == 0)
        pthread_join(thread, NULL);
    if (count < 2) {
        printf("16 KiB stack: %zu frames\n", count);
        mismatches++;
    }
}

static ucontext_t here, there;
static void in_coroutine(int depth) {
    if (depth > 0) in_coroutine(depth - 1);
    else compare_flags("coroutine", NO_DATA); /* glibc's __start_context has none at its first byte */
    sink++;
}
static void coroutine(void) {
    char *stack = malloc(256 * 1024);
    getcontext(&there);
    there.uc_stack.ss_sp = stack;
    there.uc_stack.ss_size = 256 * 1024;
    there.uc_link = &here;
    makecontext(&there, (void (*)(void))in_coroutine, 1, 5);
    swapcontext(&here, &there);
    free(stack);
}

/* Calls a function on another stack, as crates and runtimes do that grow stacks. */
int on_stack(int (*function)(const char *), const char *argument, char *top);
__asm__(".text\n.globl on_stack\n.type on_stack,@function\non_stack:\n"
        ".cfi_startproc\n"
        "push %rbp\n.cfi_def_cfa_offset 16\n.cfi_offset %rbp,-16\n"
        "mov %rsp,%rbp\n.cfi_def_cfa_register %rbp\n"
        "mov %rdi,%rax\nmov %rsi,%rdi\nmov %rdx,%rsp\ncall *%rax\n"
        "mov %rbp,%rsp\npop %rbp\n.cfi_def_cfa %rsp,8\nret\n"
        ".cfi_endproc\n.size on_stack,.-on_stack\n");
/* The same with the parent linked by an expression: CFA = *(rbp - 8) + 16. */
int on_linked_stack(int (*function)(const char *), const char *argument, char *top);
__asm__(".text\n.globl on_linked_stack\n.type on_linked_stack,@function\non_linked_stack:\n"
        ".cfi_startproc\n"
        "push %rbp\n.cfi_def_cfa_offset 16\n.cfi_offset %rbp,-16\n"
        "mov %rsp,-8(%rdx)\nmov %rdx,%rbp\nlea -16(%rdx),%rsp\n"
        ".cfi_escape 0x0f,5,0x76,0x78,0x06,0x23,0x10\n"
        "mov %rdi,%rax\nmov %rsi,%rdi\ncall *%rax\n"
        "mov -8(%rbp),%rsp\n.cfi_def_cfa %rsp,16\npop %rbp\n.cfi_def_cfa_offset 8\nret\n"
        ".cfi_endproc\n.size on_linked_stack,.-on_linked_stack\n");
NOINLINE static void other_stacks(void) {
    char *stack = malloc(256 * 1024);
    char *top = (char *)((uintptr_t)(stack + 256 * 1024) & ~(uintptr_t)63);
    on_stack(plain, "on another stack", top);
    on_linked_stack(plain, "on a linked stack", top);
    free(stack);
}

/* Deeper than what is kept: the innermost three quarters, the outermost quarter. */
NOINLINE static int deep(int n) {
    if (n > 0) {
        int r = deep(n - 1);
        sink++;
        return r;
    }
    uintptr_t frames[MOST];
    static struct reference reference;
    uint32_t flags = 0;
    size_t count = probe_capture(frames, 64, &flags);
    _Unwind_Backtrace(take_frame, &reference);
    size_t total = reference.count;
    int same = count == 64 && flags == FOLDED && total > 64 &&
               memcmp(frames + 1, reference.frames + 1, 47 * sizeof *frames) == 0 &&
               memcmp(frames + 48, reference.frames + total - 16, 16 * sizeof *frames) == 0;
    if (!same) {
        say("folded", frames, count, reference.frames, total > 100 ? 100 : total);
        mismatches++;
    }
    reference.count = 0;
    return same;
}
NOINLINE static int deeper(int n) {
    if (n > 0) {
        int r = deeper(n - 1);
        sink++;
        return r;
    }
    uintptr_t frames[MOST];
    uint32_t flags = 0;
    size_t count = probe_capture(frames, 64, &flags);
    if (count != 48 || flags != (FOLDED | CUT)) {
        printf("5000 deep: %zu frames, flags %x\n", count, flags);
        mismatches++;
    }
    return 0;
}

int main(void) {
    if (!probe_start()) return 2;
    plain("main");
    busy(1, 2, 3, 4, 5, 6);
    libc_callbacks();
    threads();
    coroutine();
    other_stacks();
    for (int n = 60; n < 130; n += 7) deep(n);
    deeper(5000);
    signals();
    return finish();
}
