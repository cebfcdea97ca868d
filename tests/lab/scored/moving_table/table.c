/* A hash table of Robin Hood's kind: whoever is farther from home takes the place. So each insertion moves the pointers of
 * others, and each removal moves them back. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SLOTS (1u << 21) /* of 16 bytes: 32 MiB */
#define HOMES 500u        /* keys crowd into a few places, so that there is much to move */

struct value { uint32_t key, used; int ends[2]; char text[1000]; };
struct slot { struct value *value; uint32_t hash, distance; };
struct statistics { const char *site; long made, kept, size; };

static struct slot *table;
static struct statistics values = {"value", 0, 0, sizeof(struct value)}, streams = {"stream", 0, 0, 0}, backups = {"backup", 0, 0, 0};
static uint32_t seed, moves;

static uint32_t scramble(uint32_t x)
{
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) * 0x846ca68bu;
    return x ^ x >> 16;
}

static uint32_t draw(uint32_t n)
{
    return scramble(seed += 0x9e3779b9u) % n;
}

static void made(struct statistics *s, int n) { s->made += n, s->kept += n; }

static uint32_t home(uint32_t key)
{
    return scramble(key) % HOMES * (SLOTS / HOMES);
}

static struct value *value_new(uint32_t key)
{
    struct value *v = calloc(1, sizeof *v); /* LAB:value */
    if (!v) abort();
    made(&values, 1);
    v->key = key;
    v->ends[0] = v->ends[1] = -1;
    memset(v->text, (int)key, sizeof v->text);
    return v;
}

static void table_attach(struct value *v)
{
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, v->ends)) abort(); /* LAB:stream */
    made(&streams, 2);
}

static void value_drop(struct value *v)
{
    if (v->ends[0] >= 0) {
        close(v->ends[0]);
        close(v->ends[1]);
        streams.kept -= 2;
    }
    free(v);
    values.kept--;
}

static void table_insert(struct value *v)
{
    struct slot in = {v, v->key, 0};
    for (uint32_t at = home(v->key);; at = (at + 1) % SLOTS, in.distance++) {
        if (!table[at].value) {
            table[at] = in;
            return;
        }
        if (table[at].distance < in.distance) {
            struct slot out = table[at];
            table[at] = in;
            in = out;
            moves++;
        }
    }
}

static struct slot *table_find(uint32_t key)
{
    for (uint32_t at = home(key); table[at].value; at = (at + 1) % SLOTS)
        if (table[at].hash == key) return &table[at];
    return NULL;
}

static void table_remove(struct slot *s)
{
    value_drop(s->value);
    for (;;) {
        struct slot *next = s + 1 == table + SLOTS ? table : s + 1;
        if (!next->value || next->distance == 0) break;
        *s = *next;
        s->distance--;
        s = next;
        moves++;
    }
    memset(s, 0, sizeof *s);
}

/* Values of a stretch of the table. */
static void table_backup(uint32_t from)
{
    int fd = open("table.backup", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600); /* LAB:backup */
    if (fd < 0) return;
    made(&backups, 1);
    for (uint32_t at = from; at < from + 2000 && at < SLOTS; at++)
        if (table[at].value && write(fd, &table[at].value->key, sizeof(uint32_t)) < 0) perror("backup");
    close(fd);
    backups.kept--;
}

static void request(uint32_t keys)
{
    uint32_t key = draw(keys);
    struct slot *s = table_find(key);
    if (!s) {
        struct value *v = value_new(key);
        if (key % 40 == 0) table_attach(v);
        table_insert(v);
    } else if (draw(3) == 0) {
        table_remove(s);
    } else {
        s->value->used++;
    }
}

static void show(const struct statistics *s)
{
    printf("{\"site\": \"%s\", \"acquired\": %ld, \"live\": %ld, \"leaked\": 0", s->site, s->made, s->kept);
    if (s->size) printf(", \"bytes\": %ld", s->kept * s->size);
    puts("}");
}

int main(int argc, char **argv)
{
    char line[4];
    seed = scramble(argc > 1 ? (uint32_t)atoi(argv[1]) : 1);
    table = mmap(NULL, SLOTS * sizeof *table, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (table == MAP_FAILED) return 1;
    puts("START");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin)) return 1;
    for (uint32_t stroke = 0; stroke < 3600; stroke++) {
        /* the set of keys grows until two thirds of the run */
        uint32_t keys = stroke < 2400 ? 400 + stroke * 5 : 12400;
        for (int n = 0; n < 14; n++) request(keys);
        if (stroke % 50 == 0) table_backup(draw(SLOTS));
        struct timespec t = {.tv_nsec = 4200000};
        nanosleep(&t, NULL);
    }
    fprintf(stderr, "%u moves\n", moves);
    puts("DONE");
    show(&values);
    show(&streams);
    show(&backups);
    fflush(stdout);
    return fgets(line, sizeof line, stdin) ? 0 : ferror(stdin);
}
