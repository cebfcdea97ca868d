/* event N FRAMES: dup and close under a stack of FRAMES frames, N times. An operation is the pair: two events. */
#include "blocks.h"
#include <unistd.h>

static long wanted;

/* Each frame keeps something alive over the call, so that none becomes a jump. */
__attribute__((noinline)) static long under(int frames, long operations)
{
    volatile long kept = frames;
    if (frames > 0)
        return under(frames - 1, operations) + kept;
    while (operations-- > 0)
        close(dup(0));
    return kept;
}

static void events(long operations)
{
    under((int)wanted, operations);
}

int main(int argc, char **argv)
{
    wanted = argc > 2 ? atol(argv[2]) : 0;
    time_blocks(argc > 1 ? atol(argv[1]) : 100000, events);
    return 0;
}
