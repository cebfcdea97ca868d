// holds [leak]: holds a little of everything, says so, and waits to be killed; with an argument it opens one file
// more every twentieth of a second. A file and a thread have names that could harm a terminal.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int ends[2];

static void *reads(void *unused) {
    char byte;
    pthread_setname_np(pthread_self(), "\033[31mwaiter");
    if (read(ends[0], &byte, 1) < 0) perror("read");
    return unused;
}

__attribute__((noinline)) static int open_config(void) {
    return open("/etc/passwd", O_RDONLY);
}

__attribute__((noinline)) static int open_more(void) {
    return open("/etc/hostname", O_RDONLY);
}

/* The other side closes at once: what was accepted is left in CLOSE_WAIT. */
static int leave_connections(int number) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (void *)&address, length) || listen(listener, 64)) return 1;
    if (getsockname(listener, (void *)&address, &length)) return 1;
    for (int i = 0; i < number; i++) {
        int client = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(client, (void *)&address, length) || accept(listener, NULL, NULL) < 0) return 1;
        close(client);
    }
    return 0;
}

int main(int count, char **arguments) {
    (void)arguments;
    for (int i = 0; i < 30; i++)
        if (open_config() < 0) return 1;
    if (leave_connections(5)) return 2;
    const char *name = "\033[31mred\n::error::x";
    if (open(name, O_CREAT | O_RDWR, 0600) < 0 || unlink(name)) return 3;
    pid_t child = fork();
    if (child == 0) _exit(0);
    siginfo_t info;
    waitid(P_PID, child, &info, WEXITED | WNOWAIT);
    pthread_t thread;
    if (pipe(ends) || pthread_create(&thread, NULL, reads, NULL)) return 4;
    puts("ready");
    fflush(stdout);
    for (;;) {
        if (count > 1) open_more();
        usleep(50000);
    }
}
