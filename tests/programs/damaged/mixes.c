// A little of everything that a trace can hold: threads, children, an exec, heap, names, failures.
#include "../../../shim/include/resshim.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void *works(void *argument)
{
    for (int i = 0; i < 20; i++) {
        int fd = open("/dev/null", O_RDONLY);
        void *block = malloc(100 + i);
        if (i % 4)
            free(block);
        if (i % 5)
            close(fd);
    }
    return argument;
}

int main(int argc, char **argv)
{
    pthread_t threads[4];
    int ends[2];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, works, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    resshim_phase("serving");
    for (int i = 0; i < 10; i++) {
        resshim_acquire("session", i, "a session of somebody");
        resshim_state("session", i, i % 2 ? "busy" : "idle");
        if (i % 3)
            resshim_release("session", i);
    }
    resshim_depends("session", 0, "session", 3, "waits-for");
    resshim_expect("session", 0.5);
    open("/nonexistent/file", O_RDONLY);
    socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    dup(ends[0]);
    mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int known = open("/dev/zero", O_RDONLY);
    close(known);
    close(known);
    if (argc > 1)
        return 3;
    for (int i = 0; i < 2; i++) {
        pid_t child = fork();
        if (child == 0) {
            works(NULL);
            if (i == 1)
                execl(argv[0], argv[0], "again", (char *)NULL);
            _exit(0);
        }
        if (i == 1)
            waitpid(child, NULL, 0);
    }
    /* Until both have ended. */
    siginfo_t info;
    waitid(P_ALL, 0, &info, WEXITED | WNOWAIT);
    return 0;
}
