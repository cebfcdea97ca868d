/* One thread polls, a pool answers. Clients are a process of their own, which is there before the start. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PEERS = 500, THREADS = 12, BUFFER = 16384, KEPT = 200, RUN_MS = 16500, IDLE_MS = 400 };

static atomic_long n_peer[2], n_buffer[2], n_waker[2], n_thread[2], n_document[2];

static void up(atomic_long *n) { n[0]++, n[1]++; }
static void down(atomic_long *n) { n[1]--; }

struct buffer { struct buffer *next; char bytes[BUFFER]; };
struct peer { int fd, busy, ended; long last_ms; struct buffer *in; };
struct job { struct job *next; struct peer *peer; };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct buffer *free_buffers;
static int kept;
static struct peer peers[PEERS];
static struct { int waker, idle; pthread_t id; struct peer *work; } pool[THREADS];
static int pool_size;

static long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct buffer *buffer_get(void)
{
    struct buffer *b = free_buffers;
    if (b) {
        free_buffers = b->next;
        kept--;
        return b;
    }
    b = malloc(sizeof *b); /* LAB:buffer */
    if (!b) abort();
    up(n_buffer);
    memset(b->bytes, 0, BUFFER);
    return b;
}

static void buffer_put(struct buffer *b)
{
    if (kept == KEPT) {
        free(b);
        down(n_buffer);
        return;
    }
    b->next = free_buffers;
    free_buffers = b;
    kept++;
}

static void send_document(struct peer *p)
{
    int fd = open("document.html", O_RDONLY | O_CLOEXEC); /* LAB:document */
    if (fd < 0) return;
    up(n_document);
    off_t from = 0;
    if (sendfile(p->fd, fd, &from, 64) < 0) p->ended = 1;
    close(fd);
    down(n_document);
}

static void *answer(void *arg)
{
    int me = (int)(intptr_t)arg;
    for (;;) {
        eventfd_t n;
        if (eventfd_read(pool[me].waker, &n)) continue;
        struct peer *p = pool[me].work;
        ssize_t got = read(p->fd, p->in->bytes, BUFFER);
        if (got <= 0)
            p->ended = 1;
        else
            send_document(p);
        p->last_ms = now_ms();
        pthread_mutex_lock(&lock);
        p->busy = 0;
        pool[me].idle = 1;
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static int pool_grow(void)
{
    int me = pool_size++;
    pool[me].waker = eventfd(0, EFD_CLOEXEC); /* LAB:waker */
    up(n_waker);
    pool[me].idle = 1;
    if (pthread_create(&pool[me].id, NULL, answer, (void *)(intptr_t)me)) abort(); /* LAB:thread */
    up(n_thread);
    return me;
}

/* With the lock held. A thread is added only when all are busy. */
static void hand_over(struct peer *p)
{
    int me = 0;
    while (me < pool_size && !pool[me].idle) me++;
    if (me == THREADS) return;
    if (me == pool_size) me = pool_grow();
    pool[me].idle = 0;
    pool[me].work = p;
    p->busy = 1;
    eventfd_write(pool[me].waker, 1);
}

static void take_peer(int listener)
{
    struct peer *p = peers;
    while (p < peers + PEERS && p->fd >= 0) p++;
    if (p == peers + PEERS) return;
    p->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC); /* LAB:peer */
    if (p->fd < 0) return;
    up(n_peer);
    p->busy = p->ended = 0;
    p->last_ms = now_ms();
    p->in = buffer_get();
}

static void drop_peer(struct peer *p)
{
    close(p->fd);
    down(n_peer);
    buffer_put(p->in);
    p->fd = -1;
}

static void serve_until(int listener, long end)
{
    while (now_ms() < end) {
        struct pollfd polled[PEERS + 1] = {{.fd = listener, .events = POLLIN}};
        pthread_mutex_lock(&lock);
        for (int i = 0; i < PEERS; i++) {
            struct peer *p = &peers[i];
            if (p->fd >= 0 && !p->busy && (p->ended || now_ms() - p->last_ms > IDLE_MS)) drop_peer(p);
            polled[i + 1] = (struct pollfd){.fd = p->busy ? -1 : p->fd, .events = POLLIN};
        }
        pthread_mutex_unlock(&lock);
        if (poll(polled, PEERS + 1, 5) <= 0) continue;
        pthread_mutex_lock(&lock);
        for (int i = 0; i < PEERS; i++)
            if (polled[i + 1].revents) hand_over(&peers[i]);
        if (polled[0].revents) take_peer(listener);
        pthread_mutex_unlock(&lock);
    }
    usleep(100000);
}

/* Clients ask again after lognormal pauses: some are so long that the server has hung up. */
static void clients(struct sockaddr_in at, int gate, long seed)
{
    enum { MOST = 300 };
    struct { int fd; long next; int left; } c[MOST];
    char text[128];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    srand48(seed);
    for (int i = 0; i < MOST; i++) c[i].fd = -1;
    if (read(gate, text, 1) != 1) _exit(0);
    for (long tick = 0;; tick++) {
        for (int i = 0; i < MOST; i++) {
            if (c[i].fd < 0) {
                if (drand48() > 0.004 * (1 + sin((double)tick / 400))) continue;
                c[i].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
                if (connect(c[i].fd, (struct sockaddr *)&at, sizeof at)) _exit(1);
                c[i].next = now_ms();
                c[i].left = 1 + (int)(drand48() * 12);
            }
            if (c[i].next > now_ms()) continue;
            if (c[i].left-- > 0 && write(c[i].fd, "GET\n", 4) == 4 && read(c[i].fd, text, sizeof text) > 0) {
                double normal = sqrt(-2 * log(1 - drand48())) * cos(6.283185307 * drand48());
                c[i].next = now_ms() + (long)exp(3.6 + 1.1 * normal);
                continue;
            }
            close(c[i].fd);
            c[i].fd = -1;
        }
        usleep(5000);
    }
}

static void print(const char *site, atomic_long *n, long each)
{
    printf("{\"site\": \"%s\", \"acquired\": %ld, \"live\": %ld, \"leaked\": 0", site, n[0], n[1]);
    if (each) printf(", \"bytes\": %ld", n[1] * each);
    printf("}\n");
}

int main(int argc, char **argv)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), gate[2];
    char line[16];
    FILE *document = fopen("document.html", "we");
    if (!document || bind(listener, (struct sockaddr *)&at, size) || listen(listener, 128) || pipe(gate)) return 1;
    fprintf(document, "%064d", 0);
    fclose(document);
    getsockname(listener, (struct sockaddr *)&at, &size);
    for (int i = 0; i < PEERS; i++) peers[i].fd = -1;
    pid_t child = fork();
    if (child == 0) clients(at, gate[0], argc > 1 ? atol(argv[1]) : 1);
    puts("START");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin) || write(gate[1], "g", 1) != 1) return 1;
    serve_until(listener, now_ms() + RUN_MS);
    puts("DONE");
    print("peer", n_peer, 0);
    print("buffer", n_buffer, sizeof(struct buffer));
    print("waker", n_waker, 0);
    print("thread", n_thread, 0);
    print("document", n_document, 0);
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) line[0] = 0;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    _exit(0);
}
