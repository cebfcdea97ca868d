/* Looks after units: for each it opens what it needs to judge it, and gives most of it back. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define UNITS 3000
#define RING 16

enum site { WATCH, SIGNALS, ROUTES, TERMINAL, FOLLOW, STATUS, COMMAND, SITES };
static const char *const names[SITES] = {"watch_unit", "own_signals", "routes", "terminal", "follow", "status_page", "command_pipe"};
static unsigned opened[SITES], shut[SITES], lost[SITES];

struct unit {
    unsigned number;
    int watch, signals, routes, terminal;
    bool disabled, fails, cut, hangs;
};

static unsigned short seeds[3];
static bool chance(int of) { return nrand48(seeds) % of == 0; }

static int keep(enum site site, int fd) {
    if (fd < 0) { perror(names[site]); exit(5); }
    opened[site]++;
    return fd;
}
static void give_back(enum site site, int fd) {
    if (close(fd) == 0) shut[site]++;
}

static int watch_unit(void) {
    int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK); /* LAB:watch_unit */
    if (inotify_add_watch(watch, ".", IN_MOVED_TO) < 0) perror("watch");
    return keep(WATCH, watch);
}
static int own_signals(void) {
    sigset_t hangup;
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    int signals = signalfd(-1, &hangup, SFD_CLOEXEC | SFD_NONBLOCK); /* LAB:own_signals */
    return keep(SIGNALS, signals);
}
static int routes(void) {
    int link = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE); /* LAB:routes */
    return keep(ROUTES, link);
}
static int terminal(void) {
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC); /* LAB:terminal */
    return keep(TERMINAL, master);
}
static void follow(void) {
    int parent = pidfd_open(getppid(), 0); /* LAB:follow */
    struct pollfd ended = {.fd = keep(FOLLOW, parent), .events = POLLIN};
    poll(&ended, 1, 0);
    give_back(FOLLOW, parent);
}
static int ring[RING];
static void status_page(unsigned number) {
    char name[64];
    snprintf(name, sizeof name, "/overseer.%d.%u", getpid(), number);
    int page = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600); /* LAB:status_page */
    int slot = (int)(number % RING);
    shm_unlink(name);
    if (ring[slot]) give_back(STATUS, ring[slot]);
    ring[slot] = keep(STATUS, page);
}
static void command_pipe(void) {
    int commands = open("commands", O_RDWR | O_CLOEXEC | O_NONBLOCK); /* LAB:command_pipe */
    char word[8];
    keep(COMMAND, commands);
    if (write(commands, "reload", 6) != 6 || read(commands, word, sizeof word) != 6) perror("commands");
    give_back(COMMAND, commands);
}

static int judge(struct unit *unit) {
    int result = -1;
    unit->watch = watch_unit();
    if (unit->disabled) { lost[WATCH]++; return result; }
    unit->signals = own_signals();
    if (unit->fails) { lost[SIGNALS]++; goto watched; }
    unit->routes = routes();
    if (unit->cut) { lost[ROUTES]++; goto signalled; }
    unit->terminal = terminal();
    if (unit->hangs) lost[TERMINAL]++;
    else give_back(TERMINAL, unit->terminal);
    result = 0;
    give_back(ROUTES, unit->routes);
signalled:
    give_back(SIGNALS, unit->signals);
watched:
    give_back(WATCH, unit->watch);
    return result;
}

int main(int argc, char **argv) {
    seeds[0] = 0x330e, seeds[1] = (unsigned short)(argc > 1 ? atoi(argv[1]) * 257 : 0), seeds[2] = 99;
    if (mkfifo("commands", 0600)) return 3;
    char *line = NULL;
    size_t room = 0;
    puts("START"), fflush(stdout);
    if (getline(&line, &room, stdin) < 0) return 4;
    for (unsigned number = 0; number < UNITS; number++) {
        struct unit unit = {.number = number, .disabled = chance(40), .fails = chance(55), .cut = chance(70), .hangs = chance(60)};
        judge(&unit);
        if (number % 5 == 0) follow();
        if (number % 20 == 0) status_page(number / 20);
        if (chance(4)) command_pipe();
        usleep(2500 + (useconds_t)(nrand48(seeds) % 1200));
    }
    puts("DONE");
    for (int site = 0; site < SITES; site++)
        printf("{\"site\": \"%s\", \"acquired\": %u, \"live\": %u, \"leaked\": %u}\n", names[site], opened[site], opened[site] - shut[site], lost[site]);
    fflush(stdout);
    if (getline(&line, &room, stdin) < 0) return 0;
    return 0;
}
