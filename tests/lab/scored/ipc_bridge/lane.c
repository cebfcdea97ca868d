/* A lane: a named pipe that one worker writes to, and what has come and has not been passed on. */
#define _GNU_SOURCE
#include "lane.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

struct score score_lane, score_backlog, score_pause;

struct lane *lane_open(const char *path, int *writer, int greets)
{
    struct lane *lane = calloc(1, sizeof *lane);
    char greeting;
    if (!lane) return NULL;
    unlink(path);
    if (mkfifo(path, 0600)) goto no_lane;
    lane->backlog = malloc(BACKLOG); /* LAB:backlog */
    if (!lane->backlog) goto no_lane;
    score_backlog.acquired++, score_backlog.live++;
    memset(lane->backlog, 0, BACKLOG);
    lane->reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* LAB:lane_read */
    if (lane->reader < 0) goto no_lane;
    score_lane.acquired++, score_lane.live++;
    *writer = open(path, O_WRONLY | O_CLOEXEC);
    if (*writer < 0 || write(*writer, greets ? "+" : "?", 1) != 1) abort();
    if (read(lane->reader, &greeting, 1) == 1 && greeting == '+') return lane;

    close(*writer);
    score_lane.leaked++;
    free(lane->backlog);
    score_backlog.live--;
no_lane:
    free(lane);
    return NULL;
}

void lane_pass(struct lane *lane, int writer, const char *text, size_t length)
{
    if (write(writer, text, length) < 0) perror("lane");
    ssize_t got = read(lane->reader, lane->backlog + lane->used, BACKLOG - lane->used);
    if (got > 0) lane->used += (size_t)got;
    if (lane->used > BACKLOG / 2) lane->used = 0;
}

/* A pause lasts until SIGUSR1 comes, or until its time is over. */
void lane_pause(int by_signal)
{
    sigset_t mask;
    struct signalfd_siginfo info;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    int fd = signalfd(-1, &mask, SFD_CLOEXEC); /* LAB:pause_signals */
    if (fd < 0) return;
    score_pause.acquired++, score_pause.live++;
    if (by_signal) raise(SIGUSR1);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, 4) == 0) {
        score_pause.leaked++;
        return;
    }
    if (read(fd, &info, sizeof info) < 0) perror("pause");
    close(fd);
    score_pause.live--;
}

void lane_close(struct lane *lane)
{
    close(lane->reader);
    score_lane.live--;
    free(lane->backlog);
    score_backlog.live--;
    free(lane);
}
