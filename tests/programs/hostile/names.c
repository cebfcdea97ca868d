// build: -g
// names [AGAIN…]: leaves open what has names that could harm a terminal, a CI log or a page, from threads and an
// image of such names. The directory is its own.
#define _GNU_SOURCE
#include "../../../shim/include/resshim.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const NAMES[] = {
    "\033[31mred\033[2J\033]0;title\007", "\n::error file=x::gone", "<script>alert(1)<\u2215script>",
    "\u202egnp.exe", "|[x](javascript:x)|`\\", "\xff\xfe bytes", "\u200b\u200d",
    "::error::begins", "##vso[task.complete]", "</script><script>alert(1)</script>", "\r\n::warning::x\r\n",
    "&lt;img src=x onerror=alert(1)&gt;", "```\n# heading\n<script>", "=cmd|' /C calc'!A0",
};
enum { COUNT = sizeof NAMES / sizeof *NAMES };

static void *named(void *name)
{
    pthread_setname_np(pthread_self(), name);
    if (open("/dev/null", O_RDONLY) < 0)
        perror("/dev/null");
    return NULL;
}

// A path of 4095 bytes, the longest there is, of directories with names of the longest and the worst kind.
static void open_a_long_path(void)
{
    static char path[4096] = ".";
    char name[256];
    size_t length = 1;
    for (size_t i = 0; i < 255; i++)
        name[i] = "\033[31mred\n::error::"[i % 17];
    name[255] = 0;
    while (length + 256 < sizeof path - 2) {
        path[length++] = '/';
        memcpy(path + length, name, 256);
        length += 255;
        if (mkdir(path, 0700))
            perror("mkdir");
    }
    path[length++] = '/';
    memset(path + length, 'x', sizeof path - 1 - length);
    if (open(path, O_CREAT | O_RDWR, 0600) < 0)
        perror("long path");
}

int main(int argc, char **argv)
{
    static char label[5000], names[COUNT][16];
    if (argc < 2) {
        char *again[COUNT + 3] = {"\033[2J\n::error::argv0</script>", "again"};
        for (int i = 0; i < COUNT; i++)
            again[i + 2] = (char *)NAMES[i];
        execv("/proc/self/exe", again);
        perror("execv");
        return 1;
    }
    for (int i = 0; i < COUNT; i++) {
        pthread_t thread;
        if (!strchr(NAMES[i], '/') && open(NAMES[i], O_CREAT | O_RDWR, 0600) < 0)
            perror("open");
        if (open(NAMES[i], O_RDONLY | O_DIRECTORY) >= 0)
            puts("a directory");
        resshim_acquire(NAMES[i], i, NAMES[i]);
        resshim_state(NAMES[i], i, NAMES[i]);
        resshim_depends(NAMES[i], i, NAMES[0], 0, NAMES[i]);
        resshim_phase(NAMES[i]);
        strncpy(names[i], NAMES[i], sizeof names[i] - 1);
        if (pthread_create(&thread, NULL, named, names[i]))
            puts("no thread");
        if (i % 2)
            pthread_join(thread, NULL);
    }
    memset(label, 'y', sizeof label - 1);
    memcpy(label, "\033[31mred", 8);
    resshim_acquire("long", 1, label);
    open_a_long_path();
    return 0;
}
