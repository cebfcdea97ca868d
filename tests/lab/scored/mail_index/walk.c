/* Walks the folders of a mail store again and again, as new mail comes, and writes an index for each. */
#define _GNU_SOURCE
#include "mail.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOLDERS = 25, MESSAGES = 12, WALKS = 1300, SNAPSHOT = 256 * 1024 };

struct counts of_folder, of_snapshot;
static struct random_data generator;

static int pick(int n)
{
    int32_t got;
    random_r(&generator, &got);
    return got % n;
}

static void deliver(int folder)
{
    char path[64];
    snprintf(path, sizeof path, "store/%d/m%d", folder, pick(MESSAGES));
    FILE *f = fopen(path, "we");
    if (!f) return;
    int headless = pick(13) == 0;
    fprintf(f, "From: a@b\nSubject: %d\n%s", pick(1000), headless ? "" : "\n");
    for (int n = headless ? 0 : 5 + pick(60); n > 0; n--) fprintf(f, "word%d ", pick(5000));
    fclose(f);
}

/* What the index was before: it is looked into while the new one is made. */
static char *folder_map(int folder)
{
    char path[64];
    snprintf(path, sizeof path, "index.%d", folder);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, SNAPSHOT)) abort();
    char *at = mmap(NULL, SNAPSHOT, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0); /* LAB:snapshot */
    close(fd);
    if (at == MAP_FAILED) abort();
    of_snapshot.acquired++;
    of_snapshot.live++;
    at[SNAPSHOT - 1]++;
    return at;
}

static int walk_folder(int folder, int strict, struct word **list)
{
    char path[320];
    snprintf(path, sizeof path, "store/%d", folder);
    DIR *dir = opendir(path); /* LAB:folder */
    if (!dir) return -1;
    of_folder.acquired++;
    of_folder.live++;
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        if (!strncmp(entry->d_name, "core", 4) && strict) {
            of_folder.leaked++;
            return -1;
        }
        if (entry->d_name[0] != 'm') continue;
        snprintf(path, sizeof path, "store/%d/%s", folder, entry->d_name);
        if (parse_message(path, list)) unlink(path);
    }
    closedir(dir);
    of_folder.live--;
    return 0;
}

static void line(const char *site, const struct counts *c, long bytes)
{
    char more[48] = "";
    if (bytes >= 0) snprintf(more, sizeof more, ", \"bytes\": %ld", bytes);
    printf("{\"site\": \"%s\", \"acquired\": %ld, \"live\": %ld, \"leaked\": %ld%s}\n", site, c->acquired, c->live, c->leaked, more);
}

int main(int argc, char **argv)
{
    static char states[128];
    char path[64], *in = NULL;
    size_t room = 0;
    long words = 0;
    initstate_r(argc > 1 ? (unsigned)atoi(argv[1]) + 40 : 40, states, sizeof states, &generator);
    mkdir("store", 0700);
    for (int folder = 0; folder < FOLDERS; folder++) {
        snprintf(path, sizeof path, "store/%d", folder);
        mkdir(path, 0700);
        snprintf(path, sizeof path, "store/%d/core", folder);
        if (folder % 3 == 0) mknod(path, S_IFREG | 0600, 0);
        for (int n = 0; n < MESSAGES; n++) deliver(folder);
    }
    printf("START\n");
    fflush(stdout);
    if (getline(&in, &room, stdin) < 0) return 1;
    for (int walk = 0; walk < WALKS; walk++) {
        struct word *list = NULL;
        int folder = pick(FOLDERS);
        deliver(folder);
        char *before = folder_map(folder);
        walk_folder(folder, pick(7) == 0, &list);
        words += index_write(list);
        munmap(before, SNAPSHOT);
        of_snapshot.live--;
        usleep((useconds_t)(7000 + pick(5000)));
    }
    fprintf(stderr, "%ld words\n", words);
    printf("DONE\n");
    line("folder", &of_folder, -1);
    line("message", &of_message, -1);
    line("scratch", &of_scratch, -1);
    line("words", &of_words, of_words.live * (long)sizeof(struct word));
    line("snapshot", &of_snapshot, of_snapshot.live * SNAPSHOT);
    fflush(stdout);
    if (getline(&in, &room, stdin) < 0) return 0;
    return 0;
}
