/* A proxy of price quotes with its upstream in the same process. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { REQUESTS = 3600, CACHE = 48 };

static unsigned long long state;
static unsigned draw(unsigned below) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(state >> 33) % below;
}

static int port;
static atomic_int upstream_total;

struct counter { int acquired, live, leaked; };
static struct counter quotes, deadlines, audits, symbols;

static void opened(struct counter *c) { c->acquired++, c->live++; }
static void closed(struct counter *c) { c->live--; }

/* The upstream: answers one byte, R for a refusal, and waits for its peer to go or for its own patience to end. */
static void *feed_serve(void *listener) {
    for (;;) {
        int peer = accept4(*(int *)listener, NULL, NULL, SOCK_CLOEXEC); /* LAB:feed_accept */
        if (peer < 0) return NULL;
        atomic_fetch_add(&upstream_total, 1);
        char question;
        if (read(peer, &question, 1) == 1 && write(peer, question == 'r' ? "R" : "A", 1) != 1) perror("feed");
        close(peer);
    }
}

static int fetch_quote(int refuse) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int upstream = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* LAB:fetch_quote */
    if (upstream < 0) return -1;
    opened(&quotes);
    char answer = 0;
    if (connect(upstream, (struct sockaddr *)&to, sizeof to) || write(upstream, refuse ? "r" : "q", 1) != 1 || read(upstream, &answer, 1) != 1) {
        close(upstream);
        closed(&quotes);
        return -1;
    }
    if (answer == 'R') {
        quotes.leaked++;
        return -2; /* the refusal is told, the connection forgotten */
    }
    close(upstream);
    closed(&quotes);
    return 0;
}

static int arm_deadline(void) {
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK); /* LAB:arm_deadline */
    if (timer >= 0) opened(&deadlines);
    struct itimerspec soon = {.it_value = {.tv_sec = 2}};
    timerfd_settime(timer, 0, &soon, NULL);
    return timer;
}

static void audit_line(unsigned number) {
    int log = open("audit.log", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600); /* LAB:audit_line */
    if (log < 0) return;
    opened(&audits);
    dprintf(log, "request %u\n", number);
    close(log);
    closed(&audits);
}

static struct { int fd; unsigned symbol, used; } cache[CACHE];

static int symbol_file(unsigned symbol, unsigned now) {
    int oldest = 0;
    for (int i = 0; i < CACHE; i++) {
        if (cache[i].fd >= 0 && cache[i].symbol == symbol) { cache[i].used = now; return cache[i].fd; }
        if (cache[i].used < cache[oldest].used) oldest = i;
    }
    if (cache[oldest].fd >= 0) { close(cache[oldest].fd); closed(&symbols); }
    char name[32];
    snprintf(name, sizeof name, "symbol%u", symbol);
    cache[oldest].fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600); /* LAB:symbol_file */
    opened(&symbols);
    cache[oldest].symbol = symbol, cache[oldest].used = now;
    return cache[oldest].fd;
}

static void serve(unsigned number) {
    int timer = arm_deadline();
    int refused = draw(40) == 0, early = draw(60) == 0;
    char last[8];
    if (pread(symbol_file(draw(3) ? draw(40) : draw(400), number + 1), last, sizeof last, 0) < 0) perror("symbol");
    fetch_quote(refused);
    audit_line(number);
    if (early) { deadlines.leaked++; return; } /* nobody waits for this timer any more */
    close(timer);
    closed(&deadlines);
}

static void tell(const char *site, struct counter *c) {
    printf("{\"site\": \"%s\", \"acquired\": %d, \"live\": %d, \"leaked\": %d}\n", site, c->acquired, c->live, c->leaked);
}

int main(int argc, char **argv) {
    state = 77 + (argc > 1 ? strtoull(argv[1], NULL, 10) : 0) * 1000003;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 64) || getsockname(listener, (struct sockaddr *)&at, &length)) return 3;
    port = ntohs(at.sin_port);
    for (int i = 0; i < CACHE; i++) cache[i].fd = -1;
    pthread_t feed;
    if (pthread_create(&feed, NULL, feed_serve, &listener)) return 3;
    puts("START");
    fflush(stdout);
    char line[16];
    if (!fgets(line, sizeof line, stdin)) return 4;
    for (unsigned i = 0; i < REQUESTS; i++) {
        serve(i);
        usleep(2400 + draw(1200));
    }
    usleep(50000);
    puts("DONE");
    tell("fetch_quote", &quotes);
    tell("arm_deadline", &deadlines);
    tell("audit_line", &audits);
    tell("symbol_file", &symbols);
    struct counter feeds = {atomic_load(&upstream_total), 0, 0};
    tell("feed_accept", &feeds);
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) return 0;
    return 0;
}
