/* Runs jobs by timers on one poll loop; the table is read again on SIGHUP, which the operator (a child) sends. */
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS 32

static struct site { long taken, held, lost; } schedules, listeners, runs, tables;
static struct job { int timer; bool enabled; unsigned every; } jobs[JOBS];
static int hangup = -1, previous = -1;
static uint32_t lfsr;

static uint32_t toss(uint32_t n)
{
    for (int i = 0; i < 13; i++) lfsr = lfsr >> 1 ^ (lfsr & 1 ? 0xa3000000u : 0);
    return lfsr % n;
}

static void take(struct site *s) { s->taken++, s->held++; }

static void job_schedule(struct job *job)
{
    job->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC); /* LAB:schedule */
    if (job->timer < 0) abort();
    take(&schedules);
    struct itimerspec at = {.it_value.tv_nsec = 1000000L * (50 + job->every + toss(100))};
    timerfd_settime(job->timer, 0, &at, NULL);
}

static void job_run(unsigned number)
{
    char word[16];
    snprintf(word, sizeof word, "%u", number);
    pid_t child = vfork(); /* LAB:run */
    if (child == 0) {
        execl("/bin/true", "true", word, (char *)NULL);
        _exit(127);
    }
    if (child < 0) return;
    take(&runs);
    waitpid(child, NULL, 0);
    runs.held--;
}

static void job_fire(unsigned number)
{
    struct job *job = &jobs[number];
    uint64_t times;
    if (read(job->timer, &times, sizeof times) != sizeof times) return;
    if (toss(3) == 0) job_run(number);
    close(job->timer);
    schedules.held--;
    job_schedule(job);
    if (toss(40) == 0) {
        /* not to be run until the next reload; that will arm a timer again */
        job->enabled = false;
        schedules.lost++;
    }
}

static void table_listen(void)
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGHUP);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    hangup = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC); /* LAB:signals */
    if (hangup < 0) abort();
    take(&listeners);
}

static unsigned table_read(void)
{
    FILE *file = fopen("crontab", "re"); /* LAB:table */
    if (!file) return 0;
    take(&tables);
    unsigned number, every, lines = 0;
    while (fscanf(file, "%u %u", &number, &every) == 2) {
        jobs[number % JOBS].every = every;
        lines++;
    }
    fclose(file);
    tables.held--;
    return lines;
}

static void reload(void)
{
    struct signalfd_siginfo info;
    if (read(hangup, &info, sizeof info) != sizeof info) return;
    previous = hangup;
    table_listen();
    if (toss(5) == 0) {
        listeners.lost++;
    } else {
        close(previous);
        listeners.held--;
    }
    unsigned lines = table_read();
    for (unsigned i = 0; i < lines && i < JOBS; i++)
        if (!jobs[i].enabled) {
            jobs[i].enabled = true;
            job_schedule(&jobs[i]);
        }
}

static void operator_loop(pid_t daemon, int gate)
{
    char go;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (read(gate, &go, 1) != 1) _exit(0);
    for (;;) {
        kill(daemon, SIGHUP);
        usleep(40000 + toss(30000));
    }
}

static void loop(long milliseconds)
{
    struct timespec now, begin;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        struct pollfd polled[JOBS + 1] = {{.fd = hangup, .events = POLLIN}};
        for (int i = 0; i < JOBS; i++) polled[i + 1] = (struct pollfd){.fd = jobs[i].enabled ? jobs[i].timer : -1, .events = POLLIN};
        poll(polled, JOBS + 1, 100);
        for (unsigned i = 0; i < JOBS; i++)
            if (polled[i + 1].revents & POLLIN) job_fire(i);
        if (polled[0].revents & POLLIN) reload();
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < milliseconds);
}

static void tell(const char *name, const struct site *s, long before)
{
    printf("{\"site\": \"%s\", \"acquired\": %ld, \"live\": %ld, \"leaked\": %ld}\n", name, s->taken - before, s->held - before, s->lost);
}

int main(int argc, char **argv)
{
    int gate[2];
    char buffer[64];
    lfsr = 0x9e3779b9u ^ (argc > 1 ? (uint32_t)atol(argv[1]) * 2246822519u : 1);
    FILE *file = fopen("crontab", "we");
    if (!file || pipe(gate)) return 1;
    for (unsigned i = 0; i < JOBS; i++) fprintf(file, "%u %u\n", i, 20 + 5 * i);
    fclose(file);
    table_listen();
    pid_t daemon = getpid(), child = fork();
    if (child == 0) operator_loop(daemon, gate[0]);
    printf("START\n");
    fflush(stdout);
    if (read(0, buffer, sizeof buffer) <= 0 || write(gate[1], "g", 1) != 1) return 1;
    for (unsigned i = 0, n = table_read(); i < n; i++) {
        jobs[i].enabled = true;
        job_schedule(&jobs[i]);
    }
    loop(16000);
    printf("DONE\n");
    tell("schedule", &schedules, 0);
    tell("signals", &listeners, 1);
    tell("run", &runs, 0);
    tell("table", &tables, 0);
    fflush(stdout);
    if (read(0, buffer, sizeof buffer) < 0) return 1;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return 0;
}
