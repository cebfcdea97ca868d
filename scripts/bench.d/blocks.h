/* Times blocks of work and prints nanoseconds an operation: the tenth percentile, which is what the
 * work costs where nobody disturbs it, and the median. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BLOCKS = 100 };

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int by_value(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

__attribute__((unused)) static void time_blocks(long operations, void (*work)(long operations))
{
    double ns[BLOCKS];
    long each = operations / BLOCKS > 0 ? operations / BLOCKS : 1;
    work(each); /* warm: first touches are not what is measured */
    for (int block = 0; block < BLOCKS; block++) {
        double began = now_ns();
        work(each);
        ns[block] = (now_ns() - began) / (double)each;
    }
    qsort(ns, BLOCKS, sizeof *ns, by_value);
    printf("%.2f %.2f\n", ns[BLOCKS / 10], ns[BLOCKS / 2]);
}
