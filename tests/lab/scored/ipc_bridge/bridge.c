/* Starts workers, follows them by pidfd, and passes what they write on lanes of their own. */
#define _GNU_SOURCE
#include "lane.h"
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 14, ROUNDS = 2400 };

static struct worker { pid_t pid; int handle, stop, writer; struct lane *lane; } workers[WORKERS];
static struct score score_worker, score_handle;
static double chaos;

/* The logistic map: a number in [0, 1) that nobody would guess. */
static unsigned guess(unsigned n)
{
    for (int i = 0; i < 7; i++) chaos = 3.9999 * chaos * (1 - chaos);
    double spread = chaos * 4096;
    return (unsigned)((spread - (double)(long)spread) * n);
}

static int worker_start(struct worker *w, int ends_at_once)
{
    int ends[2];
    if (pipe(ends)) return -1;
    pid_t pid = fork(); /* LAB:worker */
    if (pid == 0) {
        char word;
        close(ends[1]);
        for (int i = 0; i < WORKERS; i++)
            if (workers[i].pid && &workers[i] != w) close(workers[i].stop);
        if (!ends_at_once && read(ends[0], &word, 1) < 0) _exit(1);
        _exit(0);
    }
    close(ends[0]);
    if (pid < 0) {
        close(ends[1]);
        return -1;
    }
    score_worker.acquired++, score_worker.live++;
    w->pid = pid;
    w->stop = ends[1];
    return 0;
}

static void worker_reap(struct worker *w)
{
    waitpid(w->pid, NULL, 0);
    score_worker.live--;
    w->pid = 0;
}

/* 0 where it runs on and is followed. */
static int worker_follow(struct worker *w, int ends_at_once)
{
    w->handle = (int)syscall(SYS_pidfd_open, w->pid, 0); /* LAB:worker_handle */
    if (w->handle < 0) return -1;
    score_handle.acquired++, score_handle.live++;
    struct pollfd p = {.fd = w->handle, .events = POLLIN};
    if (poll(&p, 1, ends_at_once ? 2000 : 0) == 1) {
        close(w->stop);
        worker_reap(w);
        score_handle.leaked++;
        return -1;
    }
    return 0;
}

static void worker_end(struct worker *w)
{
    close(w->stop);
    struct pollfd p = {.fd = w->handle, .events = POLLIN};
    poll(&p, 1, -1);
    close(w->handle);
    score_handle.live--;
    worker_reap(w);
    if (w->lane) {
        close(w->writer);
        lane_close(w->lane);
        w->lane = NULL;
    }
}

static void worker_begin(struct worker *w, unsigned number)
{
    char path[32];
    int ends_at_once = guess(30) == 0;
    if (worker_start(w, ends_at_once)) return;
    if (worker_follow(w, ends_at_once)) return;
    snprintf(path, sizeof path, "lane.%u", number);
    w->lane = lane_open(path, &w->writer, guess(32) != 0);
    unlink(path);
}

static void round_of(unsigned number)
{
    struct worker *w = &workers[guess(WORKERS)];
    if (!w->pid)
        worker_begin(w, number);
    else if (guess(100) < 90)
        worker_end(w), worker_begin(w, number);
    for (int i = 0; i < WORKERS; i++)
        if (workers[i].pid && workers[i].lane) lane_pass(workers[i].lane, workers[i].writer, "a row of a worker", 17);
    if (guess(2) == 0) lane_pause(guess(18) != 0);
}

static void print_score(const char *site, const struct score *s, long unit)
{
    fprintf(stdout, "{\"site\": \"%s\", \"acquired\": %ld, \"live\": %ld, \"leaked\": %ld", site, s->acquired, s->live, s->leaked);
    if (unit) fprintf(stdout, ", \"bytes\": %ld", s->live * unit);
    fprintf(stdout, "}\n");
}

int main(int argc, char **argv)
{
    char answer[4];
    sigset_t mask;
    chaos = 0.1 + 1 / (3.7 + (argc > 1 ? atof(argv[1]) : 1));
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    fprintf(stdout, "START\n");
    fflush(stdout);
    if (read(0, answer, sizeof answer) <= 0) return 1;
    for (unsigned number = 0; number < ROUNDS; number++) {
        round_of(number);
        struct timespec nap = {.tv_nsec = 3500000L + (long)guess(2500000)};
        nanosleep(&nap, NULL);
    }
    for (int i = 0; i < WORKERS; i++)
        if (workers[i].pid) worker_end(&workers[i]);
    fprintf(stdout, "DONE\n");
    print_score("worker_handle", &score_handle, 0);
    print_score("lane_read", &score_lane, 0);
    print_score("pause_signals", &score_pause, 0);
    print_score("worker", &score_worker, 0);
    print_score("backlog", &score_backlog, BACKLOG);
    fflush(stdout);
    return read(0, answer, sizeof answer) < 0;
}
