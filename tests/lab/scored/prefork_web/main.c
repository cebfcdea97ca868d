/* A prefork web server: the parent accepts, and passes each connection with SCM_RIGHTS to one of its workers, keeping
 * it as a standby until the worker says that it is served. Workers are replaced after some requests. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

enum { WORKERS = 4, STANDBY = 64 };
struct worker { pid_t pid; int channel, served, limit; };

static struct worker pool[WORKERS];
static int standby[STANDBY], standby_at;
static long conns, conns_live, forks, forks_live, chans, chans_live;
static int listener;

static int receive(int channel)
{
    char byte, space[CMSG_SPACE(sizeof(int))];
    struct iovec v = {&byte, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    if (recvmsg(channel, &m, MSG_CMSG_CLOEXEC) <= 0 || !CMSG_FIRSTHDR(&m)) return -1;
    int fd;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
    return fd;
}

static void work(int channel)
{
    char request[128];
    for (int fd; (fd = receive(channel)) >= 0; close(fd)) {
        if (read(fd, request, sizeof request) > 0 && write(fd, "200 OK\n", 7) < 0) perror("worker");
        shutdown(fd, SHUT_RDWR);
        if (write(channel, "k", 1) < 0) break;
    }
    _exit(0);
}

static void spawn_worker(struct worker *w)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) exit(1); /* LAB:channel */
    chans += 2, chans_live += 2;
    pid_t pid = fork(); /* LAB:spawn_worker */
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (int i = 0; i < WORKERS; i++)
            if (pool[i].pid) close(pool[i].channel);
        close(pair[0]);
        close(listener);
        work(pair[1]);
    }
    if (pid < 0) exit(1);
    forks++, forks_live++;
    close(pair[1]);
    chans_live--;
    *w = (struct worker){pid, pair[0], 0, 60 + rand() % 60};
}

static void retire(struct worker *w)
{
    close(w->channel);
    chans_live--;
    waitpid(w->pid, NULL, 0);
    forks_live--;
    w->pid = 0;
    spawn_worker(w);
}

static int hand_over(struct worker *w, int fd)
{
    char ack, space[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec v = {"c", 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    return sendmsg(w->channel, &m, 0) == 1 && read(w->channel, &ack, 1) == 1;
}

static void serve_one(int number)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC); /* LAB:accept_one */
    if (fd < 0) return;
    conns++, conns_live++;
    struct worker *w = &pool[number % WORKERS];
    if (hand_over(w, fd)) w->served++;
    /* the last 64 stay open here: a browser that resets would else lose the answer's tail */
    int old = standby[standby_at];
    standby[standby_at] = fd;
    standby_at = (standby_at + 1) % STANDBY;
    if (old) {
        close(old);
        conns_live--;
    }
    if (w->served >= w->limit) retire(w);
}

static void browse(struct sockaddr_in at, unsigned seed, int gate)
{
    char go, answer[64];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (read(gate, &go, 1) != 1) _exit(0);
    for (int i = 0; i < 2600; i++) {
        int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(s, (struct sockaddr *)&at, sizeof at) == 0 && write(s, "GET /\n", 6) == 6)
            while (read(s, answer, sizeof answer) > 0) {}
        close(s);
        usleep(3500 + rand_r(&seed) % 5000);
    }
    if (read(gate, &go, 1) < 0) _exit(1);
    _exit(0);
}

int main(int argc, char **argv)
{
    unsigned seed = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int gate[2];
    char line[64];
    srand(seed);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&at, n) || listen(listener, 64) || pipe(gate)) return 1;
    getsockname(listener, (struct sockaddr *)&at, &n);
    pid_t browser = fork();
    if (browser == 0) {
        close(gate[1]);
        browse(at, seed, gate[0]);
    }
    close(gate[0]);
    puts("START");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) return 1;
    for (int i = 0; i < WORKERS; i++) spawn_worker(&pool[i]);
    if (write(gate[1], "g", 1) != 1) return 1;
    for (int i = 0; i < 2600; i++) serve_one(i);
    printf("DONE\n");
    printf("{\"site\": \"accept_one\", \"acquired\": %ld, \"live\": %ld, \"leaked\": 0}\n", conns, conns_live);
    printf("{\"site\": \"spawn_worker\", \"acquired\": %ld, \"live\": %ld, \"leaked\": 0}\n", forks, forks_live);
    printf("{\"site\": \"channel\", \"acquired\": %ld, \"live\": %ld, \"leaked\": 0}\n", chans, chans_live);
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) line[0] = 0;
    kill(browser, SIGKILL);
    for (int i = 0; i < WORKERS; i++) kill(pool[i].pid, SIGKILL);
    while (wait(NULL) > 0) {}
    return 0;
}
