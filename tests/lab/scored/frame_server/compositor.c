/* A compositor: one process draws, its clients are a forked process that has up to 20 windows open. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define FRAME (320 * 1024)
#define WINDOWS 20

struct frame { int fd; unsigned char *pixels; };
struct surface { int socket; struct frame shown[2]; };
struct damage { struct damage *next; int x, y; char why[1008]; };

static struct stat_of { const char *name; long got, has, unit; } frames = {"frame", 0, 0, 0}, maps = {"pixels", 0, 0, FRAME},
    clients = {"client", 0, 0, 0}, damages = {"damage", 0, 0, sizeof(struct damage)}, shots = {"shot", 0, 0, 0};
static struct surface surfaces[WINDOWS];
static struct damage *damaged;

static int frame_receive(int socket)
{
    char byte, space[CMSG_SPACE(sizeof(int))];
    struct iovec v = {&byte, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    if (recvmsg(socket, &m, MSG_CMSG_CLOEXEC) <= 0) return -1; /* LAB:frame */
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (!c) return -1;
    int fd;
    memcpy(&fd, CMSG_DATA(c), sizeof fd);
    frames.got++, frames.has++;
    return fd;
}

static void frame_map(struct frame *f)
{
    f->pixels = mmap(NULL, FRAME, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0); /* LAB:pixels */
    if (f->pixels == MAP_FAILED) abort();
    maps.got++, maps.has++;
}

static void frame_drop(struct frame *f)
{
    if (!f->pixels) return;
    munmap(f->pixels, FRAME);
    close(f->fd);
    maps.has--, frames.has--;
    f->pixels = NULL;
}

static void damage_note(int x, int y)
{
    struct damage *d = malloc(sizeof *d); /* LAB:damage */
    if (!d) abort();
    damages.got++, damages.has++;
    *d = (struct damage){.next = damaged, .x = x, .y = y};
    memset(d->why, 'd', sizeof d->why);
    damaged = d;
}

static void refresh(void)
{
    while (damaged) {
        struct damage *d = damaged;
        damaged = d->next;
        free(d);
        damages.has--;
    }
}

static void screenshot(const struct frame *f)
{
    int fd = open("screenshot", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600); /* LAB:shot */
    if (fd < 0) return;
    shots.got++, shots.has++;
    if (write(fd, f->pixels, 4096) < 0) perror("screenshot");
    close(fd);
    shots.has--;
}

static void client_welcome(int listener)
{
    int socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC); /* LAB:client */
    if (socket < 0) return;
    for (int i = 0; i < WINDOWS; i++)
        if (surfaces[i].socket < 0) {
            clients.got++, clients.has++;
            surfaces[i].socket = socket;
            return;
        }
    close(socket);
}

static void surface_close(struct surface *s)
{
    frame_drop(&s->shown[0]);
    frame_drop(&s->shown[1]);
    close(s->socket);
    clients.has--;
    s->socket = -1;
}

static void surface_draw(struct surface *s, long number)
{
    struct frame fresh = {.fd = frame_receive(s->socket)};
    if (fresh.fd < 0) {
        surface_close(s);
        return;
    }
    frame_map(&fresh);
    for (int i = 0; i < 4; i++) damage_note(fresh.pixels[i], i);
    frame_drop(&s->shown[1]);
    s->shown[1] = s->shown[0];
    s->shown[0] = fresh;
    if (number % 40 == 0) screenshot(&fresh);
    if (number % 64 == 0) refresh();
    if (send(s->socket, "v", 1, MSG_NOSIGNAL) < 0) surface_close(s);
}

static void compose(int listener, long most)
{
    for (long number = 0; number < most;) {
        struct pollfd p[WINDOWS + 1] = {{.fd = listener, .events = POLLIN}};
        for (int i = 0; i < WINDOWS; i++) p[i + 1] = (struct pollfd){.fd = surfaces[i].socket, .events = POLLIN};
        if (poll(p, WINDOWS + 1, 1000) <= 0) continue;
        for (int i = 0; i < WINDOWS && number < most; i++)
            if (p[i + 1].revents) surface_draw(&surfaces[i], ++number);
        if (p[0].revents) client_welcome(listener);
    }
    refresh();
}

static int frame_make(unsigned color)
{
    int fd = memfd_create("frame", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, FRAME)) _exit(1);
    unsigned char row[4096];
    memset(row, (int)color, sizeof row);
    for (int at = 0; at < FRAME; at += (int)sizeof row)
        if (pwrite(fd, row, sizeof row, at) < 0) _exit(1);
    return fd;
}

static void frame_send(int socket, int fd)
{
    char byte = 'f', space[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec v = {&byte, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    if (sendmsg(socket, &m, MSG_NOSIGNAL) < 0 || read(socket, &byte, 1) < 0) usleep(1000);
    close(fd);
}

static void windows(const struct sockaddr_un *at, int gate, unsigned seed)
{
    struct { int socket; unsigned left; } w[WINDOWS - 2];
    char go;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    srandom(seed * 2654435761u);
    memset(w, 0, sizeof w);
    if (read(gate, &go, 1) != 1) _exit(0);
    for (unsigned color = 0;; color++) {
        unsigned i = (unsigned)random() % (WINDOWS - 2);
        if (!w[i].left) {
            w[i].left = 30 + (unsigned)random() % 200;
            w[i].socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
            if (connect(w[i].socket, (const struct sockaddr *)at, sizeof *at)) _exit(1);
        }
        frame_send(w[i].socket, frame_make(color));
        if (--w[i].left == 0) close(w[i].socket);
        usleep(1500 + (useconds_t)random() % 2500);
    }
}

static void out(const struct stat_of *s)
{
    char bytes[40] = "";
    if (s->unit) snprintf(bytes, sizeof bytes, ", \"bytes\": %ld", s->has * s->unit);
    printf("{\"site\": \"%s\", \"acquired\": %ld, \"live\": %ld, \"leaked\": 0%s}\n", s->name, s->got, s->has, bytes);
}

int main(int argc, char **argv)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "display"};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), gate[2];
    char line[80];
    unlink(at.sun_path);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, WINDOWS) || pipe2(gate, O_CLOEXEC)) return 1;
    for (int i = 0; i < WINDOWS; i++) surfaces[i].socket = -1;
    pid_t child = fork();
    if (child == 0) windows(&at, gate[0], argc > 1 ? (unsigned)atoi(argv[1]) : 1);
    if (puts("START") < 0 || fflush(stdout) || !fgets(line, sizeof line, stdin)) return 1;
    if (write(gate[1], "!", 1) != 1) return 1;
    compose(listener, 4000);
    kill(child, SIGSTOP);
    usleep(100000);
    puts("DONE");
    out(&frames);
    out(&maps);
    out(&clients);
    out(&damages);
    out(&shots);
    fflush(stdout);
    line[0] = fgets(line, sizeof line, stdin) ? 1 : 0;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return 0;
}
