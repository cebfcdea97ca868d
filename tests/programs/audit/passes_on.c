// One file from hand to hand: a duplicate, a child, another program. A pipe that an exec closes. A close that
// comes twice, and an open that fails. With an argument it is that other program.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((noinline)) static int open_shared(void) {
    return open("/etc/passwd", O_RDONLY);
}

__attribute__((noinline)) static int duplicate(int fd) {
    return dup(fd);
}

__attribute__((noinline)) static int close_in_program(int fd) {
    return close(fd);
}

__attribute__((noinline)) static int close_again(int fd) {
    return close(fd);
}

__attribute__((noinline)) static int open_nothing(void) {
    return open("/no/such/file", O_RDWR | O_CREAT | O_CLOEXEC, 0640);
}

int main(int count, char **arguments) {
    if (count > 1) {
        int fd = atoi(arguments[1]);
        // Who acquires nothing has no region of its own.
        int own = open("/dev/zero", O_RDONLY);
        return close_in_program(fd) || close(own);
    }
    int fd = open_shared();
    int second = duplicate(fd);
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) return 1;
    char number[16];
    snprintf(number, sizeof number, "%d", second);
    pid_t child = fork();
    if (child == 0) {
        open("/dev/null", O_RDONLY | O_CLOEXEC);
        close(fd);
        execl("/proc/self/exe", "passes_on", number, (char *)0);
        _exit(127);
    }
    int status;
    if (waitpid(child, &status, 0) != child || status) return 2;
    close(fd);
    close_again(fd);
    open_nothing();
    close(second);
    return 0;
}
