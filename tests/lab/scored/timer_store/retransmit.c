/* Requests over a bad line. The kernel keeps them: a timer carries the pointer, and gives it back with its signal. */
#define _GNU_SOURCE
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <math.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct request { timer_t timer; int socket, tries; unsigned number; double wait; char body[6000]; };

static struct sum { long all, now; } n_request, n_socket, n_capture, n_route;
static struct sockaddr_in far_end;
static int line_end;
static sigset_t alarm_set;
static struct drand48_data drawer;

static double uniform(void)
{
    double x;
    drand48_r(&drawer, &x);
    return x;
}

static double lognormal(double mu, double sigma)
{
    double x = 0;
    for (int i = 0; i < 12; i++) x += uniform();
    return exp(mu + sigma * (x - 6));
}

static void plus(struct sum *s)
{
    s->all++;
    s->now++;
}

static void arm(const struct request *r)
{
    struct itimerspec in = {.it_value = {(time_t)r->wait, (long)((r->wait - floor(r->wait)) * 1e9) + 1}};
    if (timer_settime(r->timer, 0, &in, NULL)) abort();
}

static void transmit(struct request *r)
{
    if (send(r->socket, &r->number, sizeof r->number, 0) < 0) perror("send");
    r->tries++;
}

static void request_new(unsigned number)
{
    struct request *r = malloc(sizeof *r); /* LAB:request */
    if (!r) abort();
    plus(&n_request);
    memset(r, 0, sizeof *r);
    memset(r->body, 'r', sizeof r->body);
    r->number = number;
    r->socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); /* LAB:socket */
    if (r->socket < 0) abort();
    plus(&n_socket);
    if (connect(r->socket, (struct sockaddr *)&far_end, sizeof far_end)) abort();
    struct sigevent tell = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_ptr = r};
    if (timer_create(CLOCK_MONOTONIC, &tell, &r->timer)) abort();
    transmit(r);
    r->wait = fmin(1.2, lognormal(-2.4, 0.8));
    arm(r);
}

static void request_end(struct request *r)
{
    timer_delete(r->timer);
    close(r->socket);
    n_socket.now--;
    free(r);
    n_request.now--;
}

static void capture(const struct request *r)
{
    FILE *f = fopen("capture", r->number % 64 ? "ae" : "we"); /* LAB:capture */
    if (!f) return;
    plus(&n_capture);
    fprintf(f, "%u after %d\n", r->number, r->tries);
    fclose(f);
    n_capture.now--;
}

static bool route_lookup(void)
{
    struct { struct nlmsghdr head; struct rtgenmsg body; } ask = {
        {.nlmsg_len = sizeof ask, .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}, {.rtgen_family = AF_UNSPEC}};
    char answer[8192];
    int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE); /* LAB:route */
    if (s < 0) return false;
    plus(&n_route);
    if (send(s, &ask, sizeof ask, 0) < 0) {
        close(s);
        n_route.now--;
        return false;
    }
    bool good = recv(s, answer, sizeof answer, 0) > 0;
    close(s);
    n_route.now--;
    return good;
}

/* A timer's time is over: either the answer has come, or it is sent again. */
static void due(struct request *r)
{
    unsigned number;
    if (recv(r->socket, &number, sizeof number, 0) == sizeof number || r->tries == 5) {
        if (r->number % 8 == 0) capture(r);
        request_end(r);
        return;
    }
    if (r->tries == 3) route_lookup();
    transmit(r);
    r->wait = fmin(2.0, r->wait * 2);
    arm(r);
}

/* The far end: answers half of what it hears. */
static void hear(void)
{
    unsigned number;
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    while (recvfrom(line_end, &number, sizeof number, 0, (struct sockaddr *)&from, &size) > 0)
        if (uniform() < 0.5) sendto(line_end, &number, sizeof number, 0, (struct sockaddr *)&from, size);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void serve(double until)
{
    unsigned number = 0;
    double next = seconds();
    while (seconds() < until) {
        siginfo_t info;
        struct timespec wait = {.tv_nsec = 2000000};
        while (sigtimedwait(&alarm_set, &info, &wait) > 0) {
            due(info.si_value.sival_ptr);
            wait.tv_nsec = 0;
        }
        hear();
        if (seconds() >= next) {
            request_new(number++);
            next += 0.004 + 0.004 * uniform();
        }
    }
}

static void put(const char *site, struct sum s, size_t each)
{
    printf("{\"site\": \"%s\", \"acquired\": %ld, \"live\": %ld, \"leaked\": 0", site, s.all, s.now);
    if (each) printf(", \"bytes\": %zu", (size_t)s.now * each);
    printf("}\n");
}

int main(int argc, char **argv)
{
    char go;
    srand48_r(argc > 1 ? atol(argv[1]) : 1, &drawer);
    sigemptyset(&alarm_set);
    sigaddset(&alarm_set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &alarm_set, NULL);
    line_end = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    far_end = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof far_end;
    if (bind(line_end, (struct sockaddr *)&far_end, size) || getsockname(line_end, (struct sockaddr *)&far_end, &size)) return 1;
    printf("START\n");
    fflush(stdout);
    if (read(0, &go, 1) != 1) return 1;
    serve(seconds() + 16.5);
    printf("DONE\n");
    put("request", n_request, sizeof(struct request));
    put("socket", n_socket, 0);
    put("capture", n_capture, 0);
    put("route", n_route, 0);
    fflush(stdout);
    return read(0, &go, 1) < 0;
}
