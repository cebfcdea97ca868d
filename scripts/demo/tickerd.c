/*
 * tickerd: a small HTTP service that hands out prices, the demonstration of `scripts/quickstart`.
 *
 * One thread accepts and reads requests (epoll); a pool of workers answers them. A price comes from
 * the upstream, a second thread that plays the remote feed over its own listening socket. SIGHUP
 * reads the configuration again, SIGTERM ends the service in order.
 *
 *   tickerd CONFIG PORTFILE LOGFILE
 *
 *   GET /price/NAME     asks the upstream
 *   GET /session        begins a session, answers its number
 *   DELETE /session/N   ends it
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_WORKERS = 16, REQUEST_BYTES = 2048, QUEUE = 1024 };

struct request {
    int client;
    char text[REQUEST_BYTES];
    struct request *next;
};

struct session {
    unsigned number;
    time_t begun;
    struct session *next;
};

static struct {
    int workers;
    int precision;
} config = {4, 2};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct request *first, **last;
    int ending;
} queue = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, NULL, 0};

static struct {
    pthread_mutex_t lock;
    struct session *first;
    unsigned begun;
} sessions = {PTHREAD_MUTEX_INITIALIZER, NULL, 0};

static const char *config_path;
static FILE *log_file;
static struct sockaddr_in upstream_address;
static volatile sig_atomic_t reload, stop;

static void on_signal(int number)
{
    if (number == SIGHUP)
        reload = 1;
    else
        stop = 1;
}

static void note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    flockfile(log_file);
    fprintf(log_file, "%ld ", (long)time(NULL));
    vfprintf(log_file, format, arguments);
    fputc('\n', log_file);
    funlockfile(log_file);
    va_end(arguments);
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void read_config(void)
{
    char line[128];
    int value;
    FILE *file = fopen(config_path, "re");
    if (!file) {
        note("config %s: %s, keeping what is set", config_path, strerror(errno));
        return;
    }
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "workers = %d", &value) == 1 && value > 0 && value <= MAX_WORKERS)
            config.workers = value;
        else if (sscanf(line, "precision = %d", &value) == 1 && value >= 0 && value <= 6)
            config.precision = value;
    }
    fclose(file);
    note("config read: %d workers, precision %d", config.workers, config.precision);
}

static int listen_on_loopback(struct sockaddr_in *address)
{
    socklen_t length = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memset(address, 0, sizeof *address);
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)address, length) || listen(fd, 128) ||
        getsockname(fd, (struct sockaddr *)address, &length))
        die("listen");
    return fd;
}

/* The remote feed: one question a connection, "NAME\n"; answers "PRICE\n", or "?\n" for what it does not know. */
static void *upstream_main(void *argument)
{
    int listener = *(int *)argument;
    for (;;) {
        char name[64];
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            return NULL;
        ssize_t got = read(fd, name, sizeof name - 1);
        if (got > 1) {
            unsigned price = 0;
            name[got - 1] = '\0';
            for (const char *at = name; *at; at++)
                price = price * 31 + (unsigned char)*at;
            if (name[0] >= 'A' && name[0] <= 'Z')
                dprintf(fd, "%u\n", 100 + price % 90000);
            else
                dprintf(fd, "?\n");
        }
        close(fd);
    }
}

static void answer(int client, int status, const char *reason, const char *body)
{
    if (dprintf(client, "HTTP/1.1 %d %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", status,
                reason, strlen(body), body) < 0)
        note("client gone: %s", strerror(errno));
}

static int connect_upstream(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&upstream_address, sizeof upstream_address)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Price of `name` in cents, or -1 with the reason in the log. */
static long fetch_price(const char *name)
{
    char reply[64];
    int feed = connect_upstream();
    if (feed < 0) {
        note("upstream: %s", strerror(errno));
        return -1;
    }
    dprintf(feed, "%s\n", name);
    ssize_t got = read(feed, reply, sizeof reply - 1);
    if (got <= 0) {
        note("upstream: no answer for %s", name);
        close(feed);
        return -1;
    }
    reply[got] = '\0';
    char *end;
    long cents = strtol(reply, &end, 10);
    if (end == reply) {
        note("upstream: does not know %s", name);
        return -1;
    }
    close(feed);
    return cents;
}

static unsigned begin_session(void)
{
    struct session *new = malloc(sizeof *new);
    if (!new)
        return 0;
    new->begun = time(NULL);
    pthread_mutex_lock(&sessions.lock);
    new->number = ++sessions.begun;
    new->next = sessions.first;
    sessions.first = new;
    unsigned number = new->number;
    pthread_mutex_unlock(&sessions.lock);
    return number;
}

static int end_session(unsigned number)
{
    struct session *found = NULL;
    pthread_mutex_lock(&sessions.lock);
    for (struct session **at = &sessions.first; *at; at = &(*at)->next)
        if ((*at)->number == number) {
            found = *at;
            *at = found->next;
            break;
        }
    pthread_mutex_unlock(&sessions.lock);
    free(found);
    return found != NULL;
}

static void handle(const struct request *request)
{
    char name[33], body[64];
    unsigned number;
    if (sscanf(request->text, "GET /price/%32[A-Za-z0-9]", name) == 1) {
        long cents = fetch_price(name);
        if (cents < 0) {
            answer(request->client, 404, "Not Found", "no such price\n");
        } else {
            snprintf(body, sizeof body, "%.*f\n", config.precision, (double)cents / 100);
            answer(request->client, 200, "OK", body);
        }
    } else if (!strncmp(request->text, "GET /session ", 13) && (number = begin_session())) {
        snprintf(body, sizeof body, "%u\n", number);
        answer(request->client, 200, "OK", body);
    } else if (sscanf(request->text, "DELETE /session/%u", &number) == 1 && end_session(number)) {
        answer(request->client, 200, "OK", "ended\n");
    } else {
        answer(request->client, 400, "Bad Request", "what?\n");
    }
}

static struct request *next_request(void)
{
    pthread_mutex_lock(&queue.lock);
    while (!queue.first && !queue.ending)
        pthread_cond_wait(&queue.filled, &queue.lock);
    struct request *request = queue.first;
    if (request && !(queue.first = request->next))
        queue.last = &queue.first;
    pthread_mutex_unlock(&queue.lock);
    return request;
}

static void *worker_main(void *unused)
{
    struct request *request;
    (void)unused;
    while ((request = next_request())) {
        handle(request);
        close(request->client);
        free(request);
    }
    return NULL;
}

static void enqueue(struct request *request)
{
    pthread_mutex_lock(&queue.lock);
    *queue.last = request;
    queue.last = &request->next;
    pthread_cond_signal(&queue.filled);
    pthread_mutex_unlock(&queue.lock);
}

/* A request fits one read: what does not is answered 400 by its worker. */
static void read_request(int epoll, int client)
{
    struct request *request = calloc(1, sizeof *request);
    epoll_ctl(epoll, EPOLL_CTL_DEL, client, NULL);
    ssize_t got = request ? read(client, request->text, sizeof request->text - 1) : -1;
    if (got <= 0) {
        free(request);
        close(client);
        return;
    }
    request->client = client;
    enqueue(request);
}

static void serve(int listener)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[64];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event))
        die("epoll");
    while (!stop) {
        int count = epoll_wait(epoll, ready, 64, 200);
        if (reload) {
            reload = 0;
            read_config();
        }
        for (int i = 0; i < count; i++) {
            if (ready[i].data.fd != listener) {
                read_request(epoll, ready[i].data.fd);
                continue;
            }
            int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            event.data.fd = client;
            if (client >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, client, &event))
                close(client);
        }
    }
    close(epoll);
}

int main(int argc, char **argv)
{
    pthread_t upstream, workers[MAX_WORKERS];
    struct sockaddr_in address;
    struct sigaction action = {.sa_handler = on_signal};
    if (argc != 4) {
        fprintf(stderr, "usage: %s CONFIG PORTFILE LOGFILE\n", argv[0]);
        return 2;
    }
    if (!(log_file = fopen(argv[3], "ae")))
        die(argv[3]);
    config_path = argv[1];
    read_config();
    sigaction(SIGHUP, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    queue.last = &queue.first;

    int feed = listen_on_loopback(&upstream_address), listener = listen_on_loopback(&address);
    if (pthread_create(&upstream, NULL, upstream_main, &feed))
        die("thread");
    int started = config.workers;
    for (int i = 0; i < started; i++)
        if (pthread_create(&workers[i], NULL, worker_main, NULL))
            die("thread");

    /* Whoever waits for the port reads a whole file or none. */
    char waiting[4096];
    snprintf(waiting, sizeof waiting, "%s.new", argv[2]);
    FILE *port = fopen(waiting, "we");
    if (!port || fprintf(port, "%d\n", ntohs(address.sin_port)) < 0 || fclose(port) || rename(waiting, argv[2]))
        die(argv[2]);

    serve(listener);

    pthread_mutex_lock(&queue.lock);
    queue.ending = 1;
    pthread_cond_broadcast(&queue.filled);
    pthread_mutex_unlock(&queue.lock);
    for (int i = 0; i < started; i++)
        pthread_join(workers[i], NULL);
    shutdown(feed, SHUT_RDWR);
    pthread_join(upstream, NULL);
    close(feed);
    close(listener);
    while (sessions.first)
        end_session(sessions.first->number);
    note("ended");
    fclose(log_file);
    return 0;
}
