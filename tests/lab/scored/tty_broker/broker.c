/* Terminal sessions that are begun, typed into and ended by a script of events. Each has a pseudo terminal, a recording,
 * and a control socket pair. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define SESSIONS 60
#define SCROLLBACK 24000

struct tally { const char *site; long acquired, live, leaked; size_t each; };

static struct tally terminals = {.site = "terminal"}, recordings = {.site = "replay"}, controls = {.site = "control"},
                    scrolls = {.site = "scrollback", .each = SCROLLBACK};

static void tally_add(struct tally *t, int n)
{
    t->acquired += n;
    t->live += n;
}

struct session {
    int used, master, slave, recording, control[2];
    size_t typed;
    char *scrollback;
};

static struct session table[SESSIONS];
static unsigned short dice_state[3];

static unsigned below(unsigned n)
{
    return (unsigned)nrand48(dice_state) % n;
}

static int terminal_open(struct session *s, const struct winsize *size)
{
    if (openpty(&s->master, &s->slave, NULL, NULL, size)) return -1; /* LAB:terminal */
    tally_add(&terminals, 2);
    struct termios mode;
    tcgetattr(s->slave, &mode);
    cfmakeraw(&mode);
    tcsetattr(s->slave, TCSANOW, &mode);
    return 0;
}

static int recording_open(unsigned number)
{
    char path[32];
    snprintf(path, sizeof path, "session.%u.cast", number % 300);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600); /* LAB:replay */
    if (fd >= 0) tally_add(&recordings, 1);
    return fd;
}

static void recording_close(int fd)
{
    close(fd);
    recordings.live--;
}

static void control_close(struct session *s)
{
    close(s->control[0]);
    close(s->control[1]);
    controls.live -= 2;
    free(s->scrollback);
    scrolls.live--;
}

static int session_begin(struct session *s, unsigned number)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s->control)) return -1; /* LAB:control */
    tally_add(&controls, 2);
    s->scrollback = malloc(SCROLLBACK); /* LAB:scrollback */
    tally_add(&scrolls, 1);
    memset(s->scrollback, ' ', SCROLLBACK);

    struct winsize size = {.ws_row = (unsigned short)(below(38) ? 24 + below(40) : 1), .ws_col = 80};
    if (terminal_open(s, &size)) goto refuse;
    if (size.ws_row < 4) {
        errno = EINVAL;
        terminals.leaked += 2;
        goto refuse;
    }
    s->recording = recording_open(number);
    s->typed = 0;
    s->used = 1;
    return 0;

refuse:
    control_close(s);
    return -1;
}

static void session_type(struct session *s)
{
    char keys[32], seen[32];
    size_t n = 1 + below(sizeof keys - 1);
    for (size_t i = 0; i < n; i++) keys[i] = (char)('a' + below(26));
    if (write(s->master, keys, n) != (ssize_t)n || read(s->slave, seen, n) != (ssize_t)n) return;
    for (size_t i = 0; i < n; i++) s->scrollback[s->typed++ % SCROLLBACK] = seen[i];
    if (write(s->recording, seen, n) < 0) perror("recording");
    if (write(s->control[0], "k", 1) < 0 || read(s->control[1], seen, 1) < 0) perror("control");
}

static void session_end(struct session *s)
{
    close(s->master);
    close(s->slave);
    terminals.live -= 2;
    if (below(32) == 0)
        recordings.leaked++; /* a spectator has it, and will close it when it has seen the end */
    else
        recording_close(s->recording);
    control_close(s);
    s->used = 0;
}

static void report(const struct tally *t)
{
    printf("{\"site\": \"%s\", \"acquired\": %ld, \"live\": %ld, \"leaked\": %ld", t->site, t->acquired, t->live, t->leaked);
    if (t->each) printf(", \"bytes\": %zu", (size_t)t->live * t->each);
    puts("}");
}

static int await_line(void)
{
    int c;
    while ((c = getchar()) != EOF && c != '\n') {}
    return c;
}

int main(int argc, char **argv)
{
    unsigned long seed = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
    dice_state[0] = (unsigned short)seed;
    dice_state[1] = (unsigned short)(seed >> 16);
    dice_state[2] = 0x330e;
    puts("START");
    fflush(stdout);
    if (await_line() == EOF) return 1;

    for (unsigned event = 0; event < 6500; event++) {
        struct session *s = &table[below(SESSIONS)];
        if (!s->used) {
            if (session_begin(s, event) && errno != EINVAL) perror("session");
        } else if (below(3)) {
            session_type(s);
        } else {
            session_end(s);
        }
        struct timespec pause = {.tv_nsec = 800000 + below(1400000)};
        nanosleep(&pause, NULL);
    }

    puts("DONE");
    report(&terminals);
    report(&recordings);
    report(&controls);
    report(&scrolls);
    fflush(stdout);
    await_line();
    return 0;
}
