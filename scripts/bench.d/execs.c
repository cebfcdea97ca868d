/* execs N PROGRAM NAME=VALUE…: starts PROGRAM and waits for it, in turn with its own environment and
 * with these variables added, N times each. Prints the medians of both in nanoseconds. Not traced itself. */
#include "blocks.h"
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

enum { MOST = 100000, VARIABLES = 1024 };

extern char **environ;

static double one(char *program, char **environment)
{
    pid_t child;
    char *arguments[] = {program, NULL};
    double began = now_ns();
    if (posix_spawn(&child, program, NULL, NULL, arguments, environment) != 0) {
        perror(program);
        exit(1);
    }
    waitpid(child, NULL, 0);
    return now_ns() - began;
}

int main(int argc, char **argv)
{
    static double plain[MOST], added[MOST];
    static char *environment[VARIABLES];
    int n = argc > 1 ? atoi(argv[1]) : 100, count = 0;
    if (argc < 3 || n < 1 || n > MOST)
        return 2;
    for (int i = 3; i < argc; i++)
        environment[count++] = argv[i];
    for (int i = 0; environ[i] && count < VARIABLES - 1; i++)
        environment[count++] = environ[i];
    one(argv[2], environ);
    one(argv[2], environment);
    for (int i = 0; i < n; i++) {
        plain[i] = one(argv[2], environ);
        added[i] = one(argv[2], environment);
    }
    qsort(plain, n, sizeof *plain, by_value);
    qsort(added, n, sizeof *added, by_value);
    printf("%.0f %.0f\n", plain[n / 2], added[n / 2]);
    return 0;
}
