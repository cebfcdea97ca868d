/* Compacts shards in batches; everything is bounded. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WINDOW (64 * 1024)
#define POOL 12
#define MOST 96

typedef struct { const char *name; long acquired, live, leaked, bytes; } Tally;
static Tally tallies[] = {{"open_shard", 0, 0, 0, -1}, {"map_window", 0, 0, 0, 0}, {"rotate", 0, 0, 0, -1},
                          {"scratch", 0, 0, 0, -1}, {"sort_pipe", 0, 0, 0, -1}, {"list_inputs", 0, 0, 0, -1}};
enum { SHARD, VIEW, LOG, SCRATCH, PIPE, LISTING };

static uint32_t lot;
static uint32_t roll(uint32_t sides) {
    lot ^= lot << 13, lot ^= lot >> 17, lot ^= lot << 5;
    return lot % sides;
}
static void rest(long microseconds) {
    struct timespec wait = {microseconds / 1000000, microseconds % 1000000 * 1000};
    nanosleep(&wait, NULL);
}
static void took(int which, int count) { tallies[which].acquired += count, tallies[which].live += count; }
static void gave(int which, int count) { tallies[which].live -= count; }

static int shards[MOST];
static char *views[MOST];

static int open_shard(int number) {
    char path[40];
    snprintf(path, sizeof path, "shards/%02d", number);
    int shard = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600); /* LAB:open_shard */
    took(SHARD, 1);
    if (ftruncate(shard, WINDOW)) exit(3);
    return shard;
}

static char *map_window(int shard) {
    char *view = mmap(NULL, WINDOW, PROT_READ | PROT_WRITE, MAP_SHARED, shard, 0); /* LAB:map_window */
    if (view == MAP_FAILED) exit(3);
    took(VIEW, 1);
    tallies[VIEW].bytes += WINDOW;
    view[roll(WINDOW)]++;
    return view;
}

static int logs[3] = {-1, -1, -1};
static void rotate(int batch) {
    char path[40];
    snprintf(path, sizeof path, "log.%d", batch % 5);
    if (logs[0] >= 0) { close(logs[0]); gave(LOG, 1); }
    logs[0] = logs[1], logs[1] = logs[2];
    logs[2] = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600); /* LAB:rotate */
    took(LOG, 1);
}

static int pool[POOL], pooled;
static int scratch(int batch) {
    if (pooled < POOL && batch >= pooled * 2) {
        pool[pooled] = memfd_create("scratch", MFD_CLOEXEC); /* LAB:scratch */
        took(SCRATCH, 1);
        pooled++;
    }
    return pool[roll((uint32_t)pooled)];
}

static void sort_pipe(void) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) exit(3); /* LAB:sort_pipe */
    took(PIPE, 2);
    char run[64] = {0};
    if (write(ends[1], run, sizeof run) != sizeof run || read(ends[0], run, sizeof run) != sizeof run) exit(3);
    close(ends[0]), close(ends[1]);
    gave(PIPE, 2);
}

static int list_inputs(void) {
    DIR *listing = opendir("shards"); /* LAB:list_inputs */
    took(LISTING, 1);
    int count = 0;
    while (readdir(listing)) count++;
    closedir(listing);
    gave(LISTING, 1);
    return count;
}

static int merge(int open_now) {
    for (int i = 0; i < open_now; i++) {
        munmap(views[i], WINDOW);
        close(shards[i]);
    }
    gave(SHARD, open_now), gave(VIEW, open_now);
    tallies[VIEW].bytes -= (long)open_now * WINDOW;
    return 0;
}

int main(int argc, char *argv[]) {
    lot = 2463534242u ^ (uint32_t)(argc > 1 ? atoi(argv[1]) * 7919 : 1);
    if (mkdirat(AT_FDCWD, "shards", 0700)) return 3;
    printf("START\n");
    fflush(stdout);
    if (getchar() == EOF) return 4;
    int open_now = 0;
    for (int batch = 0; batch < 70; batch++) {
        open_now = merge(open_now);
        list_inputs();
        rotate(batch);
        for (int size = 40 + (int)roll(51); open_now < size; open_now++) {
            shards[open_now] = open_shard(open_now);
            views[open_now] = map_window(shards[open_now]);
            if (pwrite(scratch(batch), "x", 1, roll(4096)) != 1 || write(logs[2], "merged\n", 7) != 7) return 3;
            rest(1200 + roll(1200));
        }
        sort_pipe();
    }
    printf("DONE\n");
    for (unsigned i = 0; i < sizeof tallies / sizeof *tallies; i++) {
        printf("{\"site\": \"%s\", \"acquired\": %ld, \"live\": %ld, \"leaked\": %ld", tallies[i].name, tallies[i].acquired, tallies[i].live, tallies[i].leaked);
        printf(tallies[i].bytes >= 0 ? ", \"bytes\": %ld}\n" : "}\n", tallies[i].bytes);
    }
    fflush(stdout);
    getchar();
    return 0;
}
