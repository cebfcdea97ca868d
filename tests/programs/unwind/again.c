// build: -O2 -fomit-frame-pointer -fno-optimize-sibling-calls
/* The same places are passed through again and again, on paths that differ in one frame far up, in the size of a
   frame that only a frame pointer tells, or in what callee-saved registers hold: a stack that is known must never
   be given for another one. */
#include "compare.h"
#include <alloca.h>

static uint64_t state = 88172645463325252u;
static unsigned draw(unsigned limit) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (unsigned)(state % limit);
}

typedef struct {
    unsigned char kind[8]; /* which function stands at each depth */
    unsigned char size[8]; /* how much it takes on the stack, where it can choose */
    unsigned char site[8]; /* from which of its two places it calls on */
} path;

static void step(const path *p, int depth);
#define CALL_ON(p, depth) (p->site[depth] ? (step(p, depth + 1), keep++) : (step(p, depth + 1), keep--))
static volatile int keep;

/* Frames of one size, without frame pointer. */
__attribute__((noinline)) static void plain(const path *p, int depth) { CALL_ON(p, depth); }
/* The same size, another function. */
__attribute__((noinline)) static void twin(const path *p, int depth) { CALL_ON(p, depth); }
/* Its size is known by the frame pointer alone: the callee's frames lie elsewhere each time. */
__attribute__((noinline)) static void sized(const path *p, int depth) {
    volatile char *room = alloca(1024u * (p->size[depth] + 1u));
    room[0] = 1;
    CALL_ON(p, depth);
    room[0] = 2;
}
/* Keeps something of its own in every callee-saved register, the frame pointer's too. */
__attribute__((noinline)) static void busy(const path *p, int depth) {
    unsigned a = draw(1000), b = draw(1000), c = draw(1000), d = draw(1000), e = draw(1000), f = draw(1000);
    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f));
    CALL_ON(p, depth);
    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f));
    keep += (int)(a + b + c + d + e + f);
}

__attribute__((noinline)) static void step(const path *p, int depth) {
    if (depth == 8) {
        compare("again");
        return;
    }
    switch (p->kind[depth]) {
    case 0: plain(p, depth); break;
    case 1: twin(p, depth); break;
    case 2: sized(p, depth); break;
    default: busy(p, depth);
    }
    keep++;
}

/* Two frames whose size the frame pointer alone tells change their sizes with one another: what is further in lies
   where it lay, the frames between them lie elsewhere, and where they were stands what they left there. */
static void swap_sizes(void) {
    for (unsigned char first = 0; first < 3; first++)
        for (unsigned char second = 0; second < 3; second++)
            for (unsigned char between = 0; between < 2; between++) {
                path one = {{2, 0, between, 0, 2, 1, 3, 0}, {first, 0, 0, 0, second}, {0}};
                path other = {{2, 1, (unsigned char)!between, 0, 2, 1, 3, 0}, {second, 0, 0, 0, first}, {0}};
                for (int round = 0; round < 6; round++) step(round % 6 < 4 ? &one : &other, 0);
            }
}

int main(void) {
    if (!probe_start()) return 2;
    enum { PATHS = 200 };
    static path paths[PATHS];
    for (int i = 0; i < PATHS; i++) {
        /* Each is an earlier one with one thing changed. */
        if (i) paths[i] = paths[draw((unsigned)i)];
        int at = (int)draw(8);
        switch (draw(3)) {
        case 0: paths[i].kind[at] = (unsigned char)draw(4); break;
        case 1: paths[i].size[at] = (unsigned char)draw(3); break;
        default: paths[i].site[at] ^= 1;
        }
    }
    for (int round = 0; round < 20000; round++) {
        /* Some come far more often than others, so that ways are kept and taken. */
        unsigned which = draw(3) ? draw(12) : draw(PATHS);
        step(&paths[which], 0);
    }
    swap_sizes();
    printf("known %zu\n", probe_known());
    return finish() || probe_known() < 5000;
}
