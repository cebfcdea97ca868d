// keeps_secrets ARGUMENTS…: handles marked data in all ways in which data passes hooks, and leaks a
// descriptor of each kind, so that there is a report. What is marked stands only in DATA, in its arguments and in its
// environment. The directory is its own.
#define _GNU_SOURCE
#include "../../../shim/include/resshim.h"
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char DATA[] = "D4T4MARK in what is read and written";

static void must(int holds, const char *what)
{
    if (!holds) {
        perror(what);
        exit(1);
    }
}

static void *thread(void *data)
{
    return strdup(data);
}

int main(int argc, char **argv)
{
    char buffer[sizeof DATA];
    void *block;
    pthread_t worker;
    int ends[2], status;

    if (argc > 1 && !strcmp(argv[1], "child"))
        return open("/dev/null", O_RDONLY) < 0;
    int file = open("data", O_CREAT | O_RDWR, 0600);
    must(write(file, DATA, sizeof DATA) == sizeof DATA, "write");
    must(pread(file, buffer, sizeof DATA, 0) == sizeof DATA, "pread");
    char *mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    must(mapped != MAP_FAILED && !strcmp(mapped, DATA), "mmap");
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
    must(send(ends[0], DATA, sizeof DATA, 0) == sizeof DATA, "send");
    must(recv(ends[1], buffer, sizeof DATA, 0) == sizeof DATA, "recv");
    must(pipe(ends) == 0 && write(ends[1], DATA, sizeof DATA) == sizeof DATA, "pipe");
    FILE *stream = fopen("data", "r+");
    must(stream && fputs(DATA, stream) >= 0 && fflush(stream) == 0, "fopen");
    must(pthread_create(&worker, NULL, thread, (void *)DATA) == 0, "pthread_create");
    must(pthread_join(worker, &block) == 0 && !strcmp(block, DATA), "pthread_join");
    memset(malloc(1 << 20), 'x', 1 << 20);
    FILE *command = popen("cat > /dev/null # C0DEMARK", "w");
    must(command && fputs(DATA, command) >= 0 && pclose(command) == 0, "popen");
    must(system("true C0DEMARK") == 0, "system");
    // A child with the secrets of this process in its arguments, behind a name of its own.
    char **of_child = calloc(argc + 2, sizeof *of_child);
    of_child[0] = "child-name";
    of_child[1] = "child";
    for (int i = 1; i < argc; i++)
        of_child[i + 1] = argv[i];
    pid_t child;
    must(posix_spawn(&child, "/proc/self/exe", NULL, NULL, of_child, environ) == 0, "posix_spawn");
    must(waitpid(child, &status, 0) == child && status == 0, "waitpid");
    must(execv("/absent/program", of_child) == -1, "execv");
    // As libraries do that take a name for a file's before they take it for a URL.
    must(open("https://user:P4THMARK@files/list?key=P4THMARK#P4THMARK", O_RDONLY) == -1, "open");
    must(fopen("https://there/list?key=P4THMARK", "r") == NULL, "fopen");
    setenv("LATER", "3NVMARK", 1);
    resshim_acquire("session", 1, "https://user:4NNMARK@host/path?token=4NNMARK#4NNMARK");
    resshim_state("session", 1, "wait https://user:4NNMARK@host/");
    resshim_phase("https://user:4NNMARK@host/phase");
    return 0;
}
