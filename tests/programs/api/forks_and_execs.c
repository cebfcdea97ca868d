// Leases of a process that forks, and then becomes another program: a child begins with none, and what was live is over
// with the program that held it.
#include "../../../shim/include/resshim.h"
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int count(void *to, const char *kind, uint64_t handle, const char *label)
{
    (void)kind, (void)handle, (void)label;
    ++*(int *)to;
    return 0;
}

static int live(void)
{
    int found = 0;
    resshim_each("lease", count, &found);
    return found;
}

__attribute__((noinline)) static void takes(uint64_t first, int leases)
{
    for (int i = 0; i < leases; i++)
        resshim_acquire("lease", first + (uint64_t)i, "orders");
    __asm__ volatile("");
}

__attribute__((noinline)) static void child_takes(void)
{
    resshim_acquire("lease", 1, "again"); // the number of one of the parent's
    resshim_acquire("lease", 2, "again");
    resshim_release("lease", 2);
    __asm__ volatile("");
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        if (live() != 0)
            return 3;
        takes(10, 1);
        return 0;
    }
    takes(1, 3);
    pid_t child = fork();
    if (child == 0) {
        if (live() != 0)
            _exit(4);
        child_takes();
        _exit(live() == 1 ? 0 : 5);
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child || status != 0)
        return 6;
    if (live() != 3)
        return 7;
    execl(argv[0], argv[0], "again", (char *)0);
    return 8;
}
