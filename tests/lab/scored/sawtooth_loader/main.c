/* A loader that works in batches: maps one input after the other, keeps rows and spill files until the batch is full,
 * then writes the batch out and lets go of everything: a saw-tooth. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define INPUT 65536
#define ROW 2048

struct row { struct row *next; char data[ROW]; };
struct batch { struct row *rows; void *maps[64]; int spills[64], shadows[64], used, limit; };
struct site { const char *name; long acquired, live; size_t unit; };

static struct site sites[] = {{"open_spill", 0, 0, 0}, {"map_input", 0, 0, INPUT}, {"parse_row", 0, 0, sizeof(struct row)},
                              {"shadow", 0, 0, 0}, {"input", 0, 0, 0}};
enum { SPILL, MAP, ROWS, SHADOW, SOURCE };
static unsigned short seed[3];

static void took(int s) { sites[s].acquired++; sites[s].live++; }
static void gave(int s) { sites[s].live--; }

static int open_spill(int number)
{
    char path[48];
    snprintf(path, sizeof path, "load_spill.%d", number);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600); /* LAB:open_spill */
    took(SPILL);
    return fd;
}

static int shadow_of(const char *from)
{
    int fd = memfd_create("shadow", MFD_CLOEXEC); /* LAB:shadow */
    took(SHADOW);
    if (write(fd, from, 4096) < 0) perror("shadow");
    return fd;
}

static void *map_input(void)
{
    int fd = open("load_input", O_RDONLY | O_CLOEXEC); /* LAB:input */
    took(SOURCE);
    void *at = mmap(NULL, INPUT, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0); /* LAB:map_input */
    took(MAP);
    close(fd);
    gave(SOURCE);
    return at;
}

static struct row *parse_row(const char *at, struct row *next)
{
    struct row *r = malloc(sizeof *r); /* LAB:parse_row */
    took(ROWS);
    memcpy(r->data, at, ROW);
    r->next = next;
    return r;
}

static void take_in(struct batch *b)
{
    char *at = map_input();
    b->maps[b->used] = at;
    b->spills[b->used] = open_spill(b->used);
    b->shadows[b->used] = shadow_of(at);
    for (int i = 0; i < 12; i++) b->rows = parse_row(at + i * ROW, b->rows);
    if (write(b->spills[b->used], at, ROW) < 0) perror("spill");
    b->used++;
}

static void write_out(struct batch *b)
{
    while (b->rows) {
        struct row *next = b->rows->next;
        free(b->rows);
        gave(ROWS);
        b->rows = next;
    }
    while (b->used > 0) {
        b->used--;
        munmap(b->maps[b->used], INPUT);
        gave(MAP);
        close(b->spills[b->used]);
        gave(SPILL);
        close(b->shadows[b->used]);
        gave(SHADOW);
    }
    b->limit = 20 + (int)(nrand48(seed) % 44);
}

int main(int argc, char **argv)
{
    seed[0] = (unsigned short)(argc > 1 ? atoi(argv[1]) : 1);
    int fd = open("load_input", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, INPUT)) return 1;
    close(fd);
    struct batch b = {.limit = 40};
    puts("START");
    fflush(stdout);
    if (getchar() == EOF) return 1;
    struct timespec pause = {0, 0};
    for (int i = 0; i < 1400; i++) {
        take_in(&b);
        if (b.used >= b.limit) write_out(&b);
        pause.tv_nsec = 8000000 + nrand48(seed) % 7000000;
        nanosleep(&pause, NULL);
    }
    puts("DONE");
    for (size_t i = 0; i < sizeof sites / sizeof *sites; i++) {
        printf("{\"site\": \"%s\", \"acquired\": %ld, \"live\": %ld, \"leaked\": 0", sites[i].name, sites[i].acquired, sites[i].live);
        if (sites[i].unit) printf(", \"bytes\": %ld", sites[i].live * (long)sites[i].unit);
        puts("}");
    }
    fflush(stdout);
    int c;
    do c = getchar(); while (c != '\n' && c != EOF);
    return 0;
}
