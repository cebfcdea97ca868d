/* connections N: a server and its client in one process; N connections over loopback, each accepted,
 * asked one byte, answered and closed on both sides. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int listener;
static long wanted;

static void *server(void *unused)
{
    (void)unused;
    for (long i = 0; i < wanted; i++) {
        char byte;
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 || read(fd, &byte, 1) != 1 || write(fd, &byte, 1) != 1)
            exit(1);
        close(fd);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    /* A port has one connection a minute: the closed ones linger. Whoever resets leaves nothing. */
    struct linger reset = {1, 0};
    pthread_t thread;
    wanted = argc > 1 ? atol(argv[1]) : 1000;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 128) ||
        getsockname(listener, (struct sockaddr *)&address, &length) || pthread_create(&thread, NULL, server, NULL))
        return 1;
    for (long i = 0; i < wanted; i++) {
        char byte = 'x';
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)&address, length) || write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
            return 1;
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
    }
    pthread_join(thread, NULL);
    close(listener);
    return 0;
}
