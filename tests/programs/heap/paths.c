// Allocates by 16384 call paths, then forgets five files.
#include <fcntl.h>
#include <stdlib.h>

static void *volatile kept;

static void by_one(int path, int depth);
static void by_other(int path, int depth);

__attribute__((noinline)) static void further(int path, int depth)
{
    if (depth == 0)
        kept = malloc(16);
    else if (path & 1)
        by_one(path >> 1, depth - 1);
    else
        by_other(path >> 1, depth - 1);
    __asm__ volatile(""); // no tail call
}

__attribute__((noinline)) static void by_one(int path, int depth)
{
    further(path, depth);
    __asm__ volatile("");
}

__attribute__((noinline)) static void by_other(int path, int depth)
{
    further(path, depth);
    __asm__ volatile("");
}

__attribute__((noinline)) static int forget_file(void)
{
    int fd = open("/dev/null", O_RDONLY);
    __asm__ volatile("");
    return fd;
}

int main(void)
{
    for (int path = 0; path < 1 << 14; path++)
        further(path, 14);
    for (int file = 0; file < 5; file++)
        if (forget_file() < 0)
            return 1;
    return 0;
}
