// build: -O2 -fomit-frame-pointer -Wl,-z,lazy -ldl
// Every instruction of some calls is interrupted (single step), lazy binding through the PLT among them,
// and the stack there held against libgcc's. Where the loader's trampoline keeps its CFA in rbx the walk
// may end, marked as cut, after the same frames. gcc's tables are wrong in the last instructions of a
// realigned function: libgcc reads through a register that is not the frame's any more, and faults; the
// probe must come through.
#include "compare.h"
#include <signal.h>

#define NOINLINE __attribute__((noinline))

static volatile int sink, cut, stepping, alone;

static void on_step(int number, siginfo_t *info, void *context) {
    (void)number, (void)info, (void)context;
    if (!stepping) return;
    uintptr_t frames[MOST];
    static struct reference reference;
    uint32_t flags = 0;
    reference.count = 0;
    size_t count = probe_capture(frames, MOST, &flags);
    if (alone) return;
    _Unwind_Backtrace(take_frame, &reference);
    comparisons++;
    if (count > 1 && count <= reference.count &&
        memcmp(frames + 1, reference.frames + 1, (count - 1) * sizeof *frames) == 0) {
        if (flags == 0 && count == reference.count) return;
        Dl_info last;
        if (flags == CUT && dladdr((void *)(frames[count - 1] - 1), &last) && strstr(last.dli_fname, "/ld-")) {
            cut++;
            return;
        }
    }
    if (++mismatches < 4) {
        printf("flags %x\n", flags);
        say("step", frames, count, reference.frames, reference.count);
    }
}

/* Sets or clears the trap flag. */
static inline void step(int on) {
    stepping = on;
    if (on)
        __asm__ volatile("lea -128(%%rsp),%%rsp\npushf\norl $0x100,(%%rsp)\npopf\nlea 128(%%rsp),%%rsp" ::: "memory", "cc");
    else
        __asm__ volatile("lea -128(%%rsp),%%rsp\npushf\nandl $~0x100,(%%rsp)\npopf\nlea 128(%%rsp),%%rsp" ::: "memory", "cc");
}

static int by_number(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

NOINLINE static int realigned(int n) {
    volatile char wide[64] __attribute__((aligned(64)));
    volatile char *room = __builtin_alloca(n);
    wide[n & 63] = 1;
    room[0] = n > 0 ? (char)realigned(n / 2) : 1;
    return wide[n & 63] + room[0];
}

int main(void) {
    char text[100];
    int numbers[] = {5, 3, 9, 1, 7};
    struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
    if (!probe_start()) return 2;
    sigaction(SIGTRAP, &action, NULL);
    step(1);
    qsort(numbers, 5, sizeof *numbers, by_number);
    snprintf(text, sizeof text, "%d %s %.3f", numbers[2], "text", 2.5);
    sink += atoi(text);
    free(malloc(100));
    step(0);
    alone = 1;
    step(1);
    sink += realigned(40);
    step(0);
    printf("cut in the loader's trampoline: %d\n", cut);
    if (comparisons - cut < 1000) mismatches++; /* nothing was stepped through */
    return finish();
}
