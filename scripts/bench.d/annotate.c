/* annotate N FRAMES: what the functions of resshim.h cost under a stack of FRAMES frames. Prints the
 * nanoseconds of an acquisition, a release, a change of state and a phase. */
#include "../../shim/include/resshim.h"
#include "blocks.h"

/* Live at a time: more than a pool of connections, less than what no longer fits the caches. */
enum { LIVE = 256 };

static long rounds;

static void acquire_all(void)
{
    for (uint64_t handle = 1; handle <= LIVE; handle++)
        resshim_acquire("data-source", handle, "orders at db.example.org");
}

static void release_all(void)
{
    for (uint64_t handle = 1; handle <= LIVE; handle++)
        resshim_release("data-source", handle);
}

static void change_all(void)
{
    for (uint64_t handle = 1; handle <= LIVE; handle++)
        resshim_state("data-source", handle, "busy");
}

static void pass_phases(void)
{
    for (int phase = 0; phase < LIVE; phase++)
        resshim_phase("serving");
}

/* Each frame keeps something alive over the calls, so that none becomes a jump. */
__attribute__((noinline)) static long under(int frames)
{
    static void (*const steps[])(void) = {acquire_all, change_all, pass_phases, release_all};
    static const int shown_as[] = {0, 2, 3, 1};
    volatile long kept = frames;
    if (frames > 0)
        return under(frames - 1) + kept;
    double *ns = calloc((size_t)rounds * 4, sizeof *ns);
    for (long round = -1; round < rounds; round++)
        for (int step = 0; step < 4; step++) {
            double began = now_ns();
            steps[step]();
            if (round >= 0) /* the first is for first touches */
                ns[shown_as[step] * rounds + round] = (now_ns() - began) / LIVE;
        }
    for (int step = 0; step < 4; step++) {
        qsort(ns + step * rounds, (size_t)rounds, sizeof *ns, by_value);
        printf("%.2f ", ns[step * rounds + rounds / 10]);
    }
    printf("\n");
    free(ns);
    return kept;
}

int main(int argc, char **argv)
{
    rounds = (argc > 1 ? atol(argv[1]) : 100000) / LIVE + 1;
    under(argc > 2 ? atoi(argv[2]) : 0);
    return 0;
}
