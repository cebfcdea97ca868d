/* forks N: fork, _exit in the child, waitpid, N times. */
#include "blocks.h"
#include <sys/wait.h>
#include <unistd.h>

static void forks(long operations)
{
    while (operations-- > 0) {
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        waitpid(child, NULL, 0);
    }
}

int main(int argc, char **argv)
{
    /* A traced process has a region by now: the child must not need one. */
    close(dup(0));
    time_blocks(argc > 1 ? atol(argv[1]) : 500, forks);
    return 0;
}
