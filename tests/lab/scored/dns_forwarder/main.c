/* A DNS forwarder: questions come over a queue, answers from a bounded cache, from a zone file or from an upstream
 * server over UDP, over TCP where the answer was cut. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { CACHE = 400, NAMES = 3000, QUESTIONS = 9000 };
enum rcode { NOERROR, SERVFAIL, TRUNCATED };
struct answer { uint32_t name, address; char text[600]; };
struct count { long acquired, live, leaked, bytes; };

static struct count c_ask, c_retry, c_zone, c_deadline, c_cache;
static struct answer *cache[CACHE];
static struct sockaddr_in udp_at, tcp_at;
static uint64_t state;

static uint32_t dice(uint32_t n)
{
    state ^= state << 13; state ^= state >> 7; state ^= state << 17;
    return (uint32_t)(state >> 20) % n;
}

static void *upstream_udp(void *arg)
{
    int s = *(int *)arg;
    for (;;) {
        uint32_t q[2];
        struct sockaddr_in from;
        socklen_t n = sizeof from;
        if (recvfrom(s, q, sizeof q, 0, (struct sockaddr *)&from, &n) != sizeof q) continue;
        sendto(s, q, sizeof q, 0, (struct sockaddr *)&from, n);
    }
    return NULL;
}

static void *upstream_tcp(void *arg)
{
    int l = *(int *)arg;
    for (;;) {
        uint32_t q;
        int c = accept4(l, NULL, NULL, SOCK_CLOEXEC);
        if (c < 0) continue;
        if (read(c, &q, sizeof q) == sizeof q && write(c, &q, sizeof q) < 0) perror("upstream");
        char end;
        while (read(c, &end, 1) > 0) {}
        close(c);
    }
    return NULL;
}

static int arm_deadline(void)
{
    int t = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC); /* LAB:arm_deadline */
    struct itimerspec in = {.it_value = {.tv_sec = 2}};
    timerfd_settime(t, 0, &in, NULL);
    c_deadline.acquired++; c_deadline.live++;
    return t;
}

static int ask_tcp(uint32_t name, uint32_t *address)
{
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* LAB:ask_tcp */
    if (s < 0) return -1;
    c_retry.acquired++; c_retry.live++;
    int ok = connect(s, (struct sockaddr *)&tcp_at, sizeof tcp_at) == 0 && write(s, &name, sizeof name) == sizeof name
             && read(s, address, sizeof *address) == sizeof *address;
    close(s);
    c_retry.live--;
    return ok ? 0 : -1;
}

static int ask_upstream(uint32_t name, uint32_t *address)
{
    /* each question has its own port, so that answers cannot be guessed */
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* LAB:ask_upstream */
    if (s < 0) return -1;
    c_ask.acquired++; c_ask.live++;
    uint32_t kind = dice(45) == 0 ? SERVFAIL : dice(12) == 0 ? TRUNCATED : NOERROR, q[2] = {name, kind};
    int deadline = arm_deadline();
    connect(s, (struct sockaddr *)&udp_at, sizeof udp_at);
    if (send(s, q, sizeof q, 0) != sizeof q) q[1] = TRUNCATED;
    struct pollfd p[2] = {{.fd = s, .events = POLLIN}, {.fd = deadline, .events = POLLIN}};
    poll(p, 2, -1);
    close(deadline);
    c_deadline.live--;
    if (p[0].revents && recv(s, q, sizeof q, 0) == sizeof q && q[1] == SERVFAIL) {
        c_ask.leaked++;
        return -1;
    }
    close(s);
    c_ask.live--;
    *address = q[0] * 2654435761u;
    return q[1] == TRUNCATED ? ask_tcp(name, address) : 0;
}

static int read_zone(uint32_t name, uint32_t *address)
{
    char path[64], line[64];
    snprintf(path, sizeof path, "dns_zones/%u", name % 8);
    FILE *f = fopen(path, "re"); /* LAB:read_zone */
    if (!f) return -1;
    c_zone.acquired++; c_zone.live++;
    int found = fgets(line, sizeof line, f) ? 0 : -1;
    if (found == 0) *address = (uint32_t)strtoul(line, NULL, 10);
    fclose(f);
    c_zone.live--;
    return found;
}

static void remember(uint32_t name, uint32_t address)
{
    struct answer **slot = &cache[name % CACHE];
    if (*slot) {
        free(*slot);
        c_cache.live--;
    }
    *slot = calloc(1, sizeof **slot); /* LAB:remember */
    c_cache.acquired++; c_cache.live++;
    (*slot)->name = name;
    (*slot)->address = address;
    snprintf((*slot)->text, sizeof (*slot)->text, "host-%u", name);
}

static void resolve(uint32_t name)
{
    uint32_t address = 0;
    struct answer *a = cache[name % CACHE];
    if (a && a->name == name) return;
    if (name % 16 == 3 ? read_zone(name, &address) : ask_upstream(name, &address)) return;
    remember(name, address);
}

static void say(const char *site, struct count *c, size_t each)
{
    printf("{\"site\": \"%s\", \"acquired\": %ld, \"live\": %ld, \"leaked\": %ld", site, c->acquired, c->live, c->leaked);
    if (each) printf(", \"bytes\": %ld", c->live * (long)each);
    printf("}\n");
}

int main(int argc, char **argv)
{
    state = (argc > 1 ? strtoull(argv[1], NULL, 10) : 1) * 0x9e3779b97f4a7c15u + 0x1234567;
    mkdir("dns_zones", 0700);
    for (int i = 0; i < 8; i++) {
        char path[64];
        snprintf(path, sizeof path, "dns_zones/%d", i);
        FILE *f = fopen(path, "we");
        if (!f) return 1;
        fprintf(f, "%d\n", 1000 + i);
        fclose(f);
    }
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof any;
    int u = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(u, (struct sockaddr *)&any, n) || bind(l, (struct sockaddr *)&any, n) || listen(l, 16)) return 1;
    getsockname(u, (struct sockaddr *)&udp_at, &n);
    getsockname(l, (struct sockaddr *)&tcp_at, &n);
    pthread_t a, b;
    pthread_create(&a, NULL, upstream_udp, &u);
    pthread_create(&b, NULL, upstream_tcp, &l);

    char line[64];
    puts("START");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) return 1;
    for (int i = 0; i < QUESTIONS; i++) {
        /* few names are asked for often, many seldom */
        resolve(dice(3) ? dice(NAMES) : dice(60));
        usleep(1000 + dice(1200));
    }
    usleep(200000);
    puts("DONE");
    say("ask_upstream", &c_ask, 0);
    say("ask_tcp", &c_retry, 0);
    say("read_zone", &c_zone, 0);
    say("arm_deadline", &c_deadline, 0);
    say("remember", &c_cache, sizeof(struct answer));
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) return 0;
    return 0;
}
