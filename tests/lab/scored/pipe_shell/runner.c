/* Builds: each has a few steps, which are programs; what they print is read from a pipe and goes into the build's log. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOG (256 * 1024)
#define BUILDS 2600

typedef struct { unsigned long taken, open, gone_for_good; } tally_t;
static tally_t outputs, children, handles, drains, logs;
#define TAKE(t) ((t).taken++, (t).open++)

struct step { pid_t pid; int out, handle; };
struct log { char *text; size_t used; pthread_mutex_t lock; };
struct build { unsigned number; struct log *log; struct step step; };

static unsigned long long state;
extern char **environ;

/* splitmix64 */
static unsigned roll(unsigned n)
{
    unsigned long long z = state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return (unsigned)((z ^ z >> 31) % n);
}

static struct log *log_new(void)
{
    struct log *log = calloc(1, sizeof *log);
    if (!log) abort();
    log->text = malloc(LOG); /* LAB:log */
    if (!log->text) abort();
    TAKE(logs);
    memset(log->text, 0, LOG);
    pthread_mutex_init(&log->lock, NULL);
    return log;
}

static void log_free(struct log *log)
{
    free(log->text);
    free(log);
    logs.open--;
}

static int step_start(struct step *step, char **argv)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) return -errno; /* LAB:output */
    outputs.taken += 2;
    outputs.open += 2;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    int failed = posix_spawn(&step->pid, argv[0], &actions, NULL, argv, environ); /* LAB:child */
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    outputs.open--;
    if (failed) {
        outputs.gone_for_good++;
        return -failed;
    }
    TAKE(children);
    step->out = ends[0];
    return 0;
}

static void step_watch(struct step *step)
{
    step->handle = (int)syscall(SYS_pidfd_open, step->pid, 0); /* LAB:handle */
    if (step->handle < 0) abort();
    TAKE(handles);
}

static void *drain(void *arg)
{
    struct build *b = arg;
    char part[512];
    ssize_t n;
    while ((n = read(b->step.out, part, sizeof part)) > 0) {
        pthread_mutex_lock(&b->log->lock);
        if (b->log->used + (size_t)n < LOG) {
            memcpy(b->log->text + b->log->used, part, (size_t)n);
            b->log->used += (size_t)n;
        }
        pthread_mutex_unlock(&b->log->lock);
    }
    return NULL;
}

static void step_end(struct step *step)
{
    struct pollfd ended = {.fd = step->handle, .events = POLLIN};
    while (poll(&ended, 1, -1) < 0 && errno == EINTR) {}
    waitpid(step->pid, NULL, 0);
    children.open--;
    close(step->handle);
    handles.open--;
    close(step->out);
    outputs.open--;
}

static int build(struct build *b)
{
    static char *programs[][3] = {{"/bin/echo", "compiled", NULL}, {"/bin/true", NULL, NULL}, {"/usr/bin/env", NULL, NULL}};
    static char *missing[] = {"./configure-2.13", NULL};
    b->log = log_new();
    /* one build of twenty-five is of a kind that has no builder */
    if (roll(25) == 0) {
        logs.gone_for_good++;
        return -1;
    }
    for (unsigned steps = 1 + roll(2); steps > 0; steps--) {
        char **argv = roll(30) ? programs[roll(3)] : missing;
        if (step_start(&b->step, argv)) continue;
        step_watch(&b->step);
        pthread_t thread;
        if (pthread_create(&thread, NULL, drain, b)) abort(); /* LAB:drain */
        TAKE(drains);
        pthread_join(thread, NULL);
        drains.open--;
        step_end(&b->step);
    }
    log_free(b->log);
    return 0;
}

static void row(const char *site, tally_t t, unsigned long each)
{
    printf("{\"site\": \"%s\", \"acquired\": %lu, \"live\": %lu, \"leaked\": %lu", site, t.taken, t.open, t.gone_for_good);
    printf(each ? ", \"bytes\": %lu}\n" : "}\n", t.open * each);
}

int main(int argc, char *argv[])
{
    char line[8];
    state = strtoull(argc > 1 ? argv[1] : "1", NULL, 0) << 17;
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("START\n");
    if (!fgets(line, sizeof line, stdin)) return 1;
    for (unsigned n = 0; n < BUILDS; n++) {
        struct build b = {.number = n};
        build(&b);
        usleep(2500 + roll(2500));
    }
    printf("DONE\n");
    row("output", outputs, 0);
    row("child", children, 0);
    row("handle", handles, 0);
    row("drain", drains, 0);
    row("log", logs, LOG);
    if (!fgets(line, sizeof line, stdin)) return 0;
    return 0;
}
