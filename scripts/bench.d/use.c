/* use N CALL: a call that succeeds, N times: read and recv of a byte, write of one, poll of a descriptor that is
 * ready, epoll_wait for one, recvmsg of a byte. */
#define _GNU_SOURCE
#include "blocks.h"
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static int zero, set, pair[2];
static char room[1];

static void reads(long n)
{
    while (n-- > 0)
        if (read(zero, room, 1) != 1)
            abort();
}

static void writes(long n)
{
    while (n-- > 0)
        if (write(zero, room, 1) != 1)
            abort();
}

static void polls(long n)
{
    struct pollfd one = {zero, POLLIN, 0};
    while (n-- > 0)
        if (poll(&one, 1, -1) != 1)
            abort();
}

static void waits(long n)
{
    struct epoll_event event;
    while (n-- > 0)
        if (epoll_wait(set, &event, 1, -1) != 1)
            abort();
}

static void receives(long n)
{
    while (n-- > 0)
        if (recv(pair[0], room, 1, MSG_PEEK) != 1)
            abort();
}

static void messages(long n)
{
    struct iovec part = {room, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    while (n-- > 0)
        if (recvmsg(pair[0], &message, MSG_PEEK) != 1)
            abort();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*work)(long);
    } calls[] = {{"read", reads},  {"write", writes},      {"poll", polls},
                 {"recv", receives}, {"epoll_wait", waits}, {"recvmsg", messages}};
    long n = argc > 1 ? atol(argv[1]) : 100000;
    zero = open("/dev/zero", O_RDWR);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || write(pair[1], room, 1) != 1)
        return 1;
    set = epoll_create1(0);
    struct epoll_event wanted = {.events = EPOLLIN};
    epoll_ctl(set, EPOLL_CTL_ADD, pair[0], &wanted);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (argc > 2 && !strcmp(argv[2], calls[i].name))
            time_blocks(n, calls[i].work);
    return 0;
}
