// scanned epoll|moves|loses: ten connections whose state only an epoll set knows; blocks whose only pointer moves about
// in a table of 32 MiB; blocks, a list, a ring, a stream and a directory that nobody can reach any more beside such
// that are kept in ways that are hard to see. Says when it is ready, and waits to be killed.
#define _GNU_SOURCE
#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct connection {
    int fd;
    char buffer[500];
};

__attribute__((noinline)) static void accept_one(int set) {
    struct connection *connection = malloc(sizeof *connection);
    connection->fd = eventfd(0, 0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    epoll_ctl(set, EPOLL_CTL_ADD, connection->fd, &event);
    memset(&event, 0, sizeof event);
}

static void keeps_in_epoll(void) {
    int set = epoll_create1(0);
    for (int i = 0; i < 10; i++) accept_one(set);
    struct epoll_event events[4];
    puts("ready");
    fflush(stdout);
    for (;;) epoll_wait(set, events, 4, 1000);
}

enum { SLOTS = (32 << 20) / sizeof(void *), BLOCKS = 64 };

static void moves_about(void) {
    void **table = mmap(NULL, SLOTS * sizeof(void *), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    /* Every page is there: a scan takes its time. */
    memset(table, 1, SLOTS * sizeof(void *));
    uint64_t random = 88172645463325252u;
    uint32_t places[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        places[i] = i * (SLOTS / BLOCKS);
        table[places[i]] = malloc(300);
    }
    puts("ready");
    fflush(stdout);
    for (uint64_t i = 0;; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        uint32_t to = random % SLOTS, from = places[i % BLOCKS];
        if (table[to] != (void *)0x0101010101010101) continue;
        table[to] = table[from];
        table[from] = (void *)0x0101010101010101;
        places[i % BLOCKS] = to;
    }
}

struct node {
    struct node *next;
    char data[600];
};

__attribute__((noinline)) static void lose_block(void) {
    char *volatile block = malloc(1000);
    (void)block, block = NULL;
}

__attribute__((noinline)) static void lose_list(void) {
    struct node *volatile list = NULL;
    for (int i = 0; i < 3; i++) {
        struct node *node = malloc(sizeof *node);
        node->next = list;
        list = node;
    }
    list = NULL;
}

__attribute__((noinline)) static void lose_ring(void) {
    struct node *volatile one = malloc(sizeof *one);
    one->next = malloc(sizeof *one);
    one->next->next = one;
    one = NULL;
}

__attribute__((noinline)) static void lose_stream(void) {
    FILE *volatile stream = fopen("/etc/passwd", "r");
    (void)stream, stream = NULL;
}

__attribute__((noinline)) static void lose_directory(void) {
    DIR *volatile directory = opendir("/etc");
    (void)directory, directory = NULL;
}

/* Not static: who never reads them back need not store them. */
FILE *kept_stream;
uintptr_t tagged[3];
struct { char odd[4]; void *pointer; } __attribute__((packed)) packed;

__attribute__((noinline)) static void keep(void) {
    tagged[0] = (uintptr_t)malloc(700) | 7;
    tagged[1] = (uintptr_t)malloc(700) | (uintptr_t)0xabcd << 48;
    tagged[2] = (uintptr_t)malloc(700) + 350;
    packed.pointer = malloc(700);
    kept_stream = fopen("/etc/hostname", "r");
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_ptr = malloc(700)};
    timer_t timer;
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    memset(&event, 0, sizeof event);
}

/* Calls go deeper than those before: what they left on the stack is gone. */
__attribute__((noinline)) static void scrub(void) {
    char volatile dead[20000];
    memset((char *)dead, 0, sizeof dead);
}

int main(int count, char **arguments) {
    if (count < 2) return 1;
    char *volatile first = malloc(16);
    free(first);
    if (!strcmp(arguments[1], "epoll")) keeps_in_epoll();
    if (!strcmp(arguments[1], "moves")) moves_about();
    keep();
    for (int i = 0; i < 20; i++) lose_block();
    lose_list();
    lose_ring();
    lose_stream();
    lose_directory();
    scrub();
    puts("ready");
    fflush(stdout);
    for (;;) usleep(50000);
}
