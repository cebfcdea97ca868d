/* Leases of addresses. The file descriptor of a lease is known to the poller alone, by the pointer in its epoll data. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

struct lease {
    LIST_ENTRY(lease) all;
    int socket, timer;
    unsigned number, renewals;
    char options[2048];
};

enum place { SOCKET, TIMER, RECORD, JOURNAL, POLLER, PLACES };
static const char *const names[PLACES] = {"lease_socket", "lease_timer", "lease_record", "journal", "poller"};
static struct { long n, live; } count[PLACES];

static LIST_HEAD(, lease) leases = LIST_HEAD_INITIALIZER(leases);
static int poller = -1, entries;
static struct sockaddr_in server;
static uint64_t weyl, mix;

static unsigned chance(unsigned n)
{
    mix *= mix;
    mix += weyl += 0xb5ad4eceda1ce2a9ull;
    mix = mix >> 32 | mix << 32;
    return (unsigned)mix % n;
}

static int opened(enum place p, int fd)
{
    if (fd < 0) {
        perror(names[p]);
        exit(1);
    }
    count[p].n++;
    count[p].live++;
    return fd;
}

static void closed(enum place p, int fd)
{
    close(fd);
    count[p].live--;
}

static void journal_write(const char *what, unsigned number)
{
    char path[32];
    snprintf(path, sizeof path, "journal.%d", entries++ / 500);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600); /* LAB:journal */
    opened(JOURNAL, fd);
    dprintf(fd, "%s %u\n", what, number);
    closed(JOURNAL, fd);
}

static void poll_for(struct lease *lease)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = lease};
    epoll_ctl(poller, EPOLL_CTL_ADD, lease->timer, &event);
}

static void timer_for(struct lease *lease)
{
    lease->timer = opened(TIMER, timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK)); /* LAB:lease_timer */
    long ms = 300 + chance(2200);
    struct itimerspec when = {.it_value = {ms / 1000, ms % 1000 * 1000000}};
    timerfd_settime(lease->timer, 0, &when, NULL);
    poll_for(lease);
}

static struct lease *lease_grant(unsigned number)
{
    struct lease *lease = calloc(1, sizeof *lease); /* LAB:lease_record */
    if (!lease) exit(1);
    opened(RECORD, 0);
    memset(lease->options, 'o', sizeof lease->options);
    lease->number = number;
    lease->socket = opened(SOCKET, socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)); /* LAB:lease_socket */
    connect(lease->socket, (struct sockaddr *)&server, sizeof server);
    if (send(lease->socket, "offer", 5, 0) < 0) perror("offer");
    timer_for(lease);
    LIST_INSERT_HEAD(&leases, lease, all);
    journal_write("grant", number);
    return lease;
}

static void lease_end(struct lease *lease)
{
    LIST_REMOVE(lease, all);
    closed(TIMER, lease->timer);
    closed(SOCKET, lease->socket);
    journal_write("end", lease->number);
    free(lease);
    count[RECORD].live--;
}

static void poller_rebuild(void)
{
    int old = poller;
    poller = opened(POLLER, epoll_create1(EPOLL_CLOEXEC)); /* LAB:poller */
    struct lease *lease;
    LIST_FOREACH(lease, &leases, all) poll_for(lease);
    if (old >= 0) closed(POLLER, old);
}

static void expire(void)
{
    struct epoll_event ready[16];
    int n = epoll_wait(poller, ready, 16, 2);
    for (int i = 0; i < n; i++) {
        struct lease *lease = ready[i].data.ptr;
        if (lease->renewals < 4 && chance(3) == 0) {
            lease->renewals++;
            closed(TIMER, lease->timer);
            timer_for(lease);
        } else {
            lease_end(lease);
        }
    }
}

/* Given back before its time: any one of them. */
static void give_back(void)
{
    struct lease *lease = LIST_FIRST(&leases);
    for (unsigned n = chance(20); lease && n > 0; n--) lease = LIST_NEXT(lease, all);
    if (lease) lease_end(lease);
}

static double elapsed(const struct timespec *since)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - since->tv_sec) + 1e-9 * (double)(now.tv_nsec - since->tv_nsec);
}

int main(int argc, char **argv)
{
    char *in = NULL;
    size_t room = 0;
    weyl = strtoull(argc > 1 ? argv[1] : "1", NULL, 10) * 0x100000001ull;
    int listener = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof server;
    if (listener < 0 || bind(listener, (struct sockaddr *)&server, size)) return 1;
    getsockname(listener, (struct sockaddr *)&server, &size);
    fputs("START\n", stdout);
    fflush(stdout);
    if (getline(&in, &room, stdin) < 0) return 1;

    struct timespec begin;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    poller_rebuild();
    double next = 0;
    for (unsigned number = 0; elapsed(&begin) < 17;) {
        expire();
        if (elapsed(&begin) < next) continue;
        lease_grant(number++);
        if (chance(6) == 0) give_back();
        if (number % 100 == 0) poller_rebuild();
        while (recv(listener, in, 1, 0) > 0) {}
        /* the net wakes up: from 40 to 200 leases a second */
        next = elapsed(&begin) + (0.5 + 1e-3 * chance(1000)) / fmin(200, 40 + 14 * next);
    }
    fputs("DONE\n", stdout);
    for (int p = 0; p < PLACES; p++) {
        printf("{\"site\": \"%s\", \"acquired\": %ld, \"live\": %ld, \"leaked\": 0", names[p], count[p].n, count[p].live);
        if (p == RECORD) printf(", \"bytes\": %ld", count[p].live * (long)sizeof(struct lease));
        puts("}");
    }
    fflush(stdout);
    return getline(&in, &room, stdin) < 0 && !feof(stdin);
}
