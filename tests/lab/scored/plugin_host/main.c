/* A host of plug-ins: each reload puts the image into a memfd, maps it, gives it an event loop and its
 * configuration. A plug-in whose version is refused is unloaded by another path than the rest. */
#define _GNU_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define IMAGE (64 * 1024)
#define PLUGINS 24

struct plugin { int image, loop, version; void *text; char *config; };
struct ops { int (*load)(struct plugin *); void (*unload)(struct plugin *); };

static struct { long n, live, lost; } image_n, text_n, loop_n, list_n, config_n;
static unsigned rng;

static int image_open(struct plugin *p)
{
    p->image = memfd_create("plugin", MFD_CLOEXEC); /* LAB:image_open */
    if (p->image < 0 || ftruncate(p->image, IMAGE)) return -1;
    image_n.n++, image_n.live++;
    return 0;
}

static int image_map(struct plugin *p)
{
    p->text = mmap(NULL, IMAGE, PROT_READ | PROT_WRITE, MAP_SHARED, p->image, 0); /* LAB:image_map */
    if (p->text == MAP_FAILED) return -1;
    text_n.n++, text_n.live++;
    memset(p->text, p->version, 512);
    return 0;
}

static int loop_new(struct plugin *p)
{
    p->loop = epoll_create1(EPOLL_CLOEXEC); /* LAB:loop_new */
    if (p->loop < 0) return -1;
    loop_n.n++, loop_n.live++;
    return 0;
}

static int config_new(struct plugin *p)
{
    p->config = malloc(8192); /* LAB:config_new */
    if (!p->config) return -1;
    config_n.n++, config_n.live++;
    memset(p->config, 'c', 8192);
    return 0;
}

static void drop(struct plugin *p)
{
    munmap(p->text, IMAGE);
    text_n.live--;
    close(p->image);
    image_n.live--;
    close(p->loop);
    loop_n.live--;
    free(p->config);
    config_n.live--;
    memset(p, 0, sizeof *p);
}

/* the plug-in speaks an older version: its code is not trusted to be called, only the image goes */
static void refuse(struct plugin *p)
{
    close(p->image);
    image_n.live--;
    free(p->config);
    config_n.live--;
    text_n.lost++;
    loop_n.lost++;
    memset(p, 0, sizeof *p);
}

static int bring_up(struct plugin *p)
{
    return image_open(p) || image_map(p) || loop_new(p) || config_new(p);
}

static const struct ops current = {bring_up, drop}, older = {bring_up, refuse};

static int list_plugins(void)
{
    int found = 0;
    DIR *d = opendir("plugins"); /* LAB:list_plugins */
    if (!d) return 0;
    list_n.n++, list_n.live++;
    while (readdir(d)) found++;
    closedir(d);
    list_n.live--;
    return found;
}

int main(int argc, char **argv)
{
    static struct plugin table[PLUGINS];
    char word[16];
    rng = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
    mkdir("plugins", 0700);
    if (write(1, "START\n", 6) != 6 || read(0, word, sizeof word) <= 0) return 1;
    for (int round = 0; round < 2500; round++) {
        struct plugin *p = &table[rand_r(&rng) % PLUGINS];
        const struct ops *ops = p->version == 1 ? &older : &current;
        if (p->version) ops->unload(p);
        p->version = rand_r(&rng) % 28 == 0 ? 1 : 2;
        if (ops->load(p)) return 1;
        if (round % 10 == 0) list_plugins();
        struct timespec t = {0, 5000000 + (long)(rand_r(&rng) % 3000000)};
        nanosleep(&t, NULL);
    }
    dprintf(1, "DONE\n");
    dprintf(1, "{\"site\": \"image_open\", \"acquired\": %ld, \"live\": %ld, \"leaked\": %ld}\n", image_n.n, image_n.live, image_n.lost);
    dprintf(1, "{\"site\": \"image_map\", \"acquired\": %ld, \"live\": %ld, \"leaked\": %ld, \"bytes\": %ld}\n", text_n.n,
            text_n.live, text_n.lost, text_n.live * IMAGE);
    dprintf(1, "{\"site\": \"loop_new\", \"acquired\": %ld, \"live\": %ld, \"leaked\": %ld}\n", loop_n.n, loop_n.live, loop_n.lost);
    dprintf(1, "{\"site\": \"config_new\", \"acquired\": %ld, \"live\": %ld, \"leaked\": %ld, \"bytes\": %ld}\n", config_n.n,
            config_n.live, config_n.lost, config_n.live * 8192);
    dprintf(1, "{\"site\": \"list_plugins\", \"acquired\": %ld, \"live\": %ld, \"leaked\": %ld}\n", list_n.n, list_n.live, list_n.lost);
    return read(0, word, sizeof word) < 0;
}
