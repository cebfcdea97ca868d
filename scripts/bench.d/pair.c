/* pair N: malloc(64) and free, N times. An operation is the pair. */
#include "blocks.h"

static void pairs(long operations)
{
    while (operations-- > 0) {
        void *volatile block = malloc(64);
        free(block);
    }
}

int main(int argc, char **argv)
{
    time_blocks(argc > 1 ? atol(argv[1]) : 1000000, pairs);
    return 0;
}
