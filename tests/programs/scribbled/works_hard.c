// works_hard SECONDS: descriptors, heap blocks, threads and children on four threads until the time is
// up. Every result is checked; the first wrong one ends it with status 1. Prints "whole" if none was.
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static time_t end;

static int goes_on(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec < end;
}

static void must(int holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "wrong: %s\n", what);
    _exit(1);
}

static void *descriptors(void *unused)
{
    int ends[2];
    char byte;
    while (goes_on()) {
        int fd = open("/dev/null", O_RDWR);
        must(fd >= 0, "open");
        int twin = dup(fd);
        must(twin >= 0 && write(twin, "x", 1) == 1, "dup");
        must(close(fd) == 0, "close");
        must(write(twin, "x", 1) == 1 && close(twin) == 0, "twin");
        must(open("/absent", O_RDONLY) == -1, "absent");
        must(pipe(ends) == 0 && write(ends[1], "y", 1) == 1, "pipe");
        must(read(ends[0], &byte, 1) == 1 && byte == 'y', "read");
        must(close(ends[0]) == 0 && close(ends[1]) == 0, "ends");
        void *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        must(page != MAP_FAILED && munmap(page, 8192) == 0, "mmap");
    }
    return unused;
}

enum { BLOCKS = 512 };

static void *blocks(void *unused)
{
    static unsigned char *kept[BLOCKS];
    static size_t sizes[BLOCKS];
    unsigned seed = 1;
    while (goes_on()) {
        for (int i = 0; i < 1000; i++) {
            seed = seed * 1103515245 + 12345;
            unsigned at = seed >> 16 & (BLOCKS - 1);
            size_t size = 1 + (seed >> 8 & 1023);
            if (kept[at]) {
                must(kept[at][0] == (unsigned char)at, "first byte of a block");
                must(kept[at][sizes[at] - 1] == (unsigned char)at, "last byte of a block");
            }
            if (seed >> 30) {
                kept[at] = realloc(kept[at], size);
            } else {
                free(kept[at]);
                kept[at] = calloc(1, size);
            }
            must(kept[at] != NULL, "a block");
            sizes[at] = size;
            memset(kept[at], at, size);
        }
    }
    return unused;
}

static void *square(void *number)
{
    return (void *)((uintptr_t)number * (uintptr_t)number);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long detached;

static void *add(void *number)
{
    pthread_mutex_lock(&lock);
    detached += (uintptr_t)number;
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void *threads(void *unused)
{
    unsigned long expected = 0;
    for (uintptr_t number = 1; goes_on(); number++) {
        pthread_t first, second, third;
        void *value;
        must(pthread_create(&first, NULL, square, (void *)number) == 0, "first thread");
        must(pthread_create(&second, NULL, square, (void *)(number + 7)) == 0, "second thread");
        must(pthread_create(&third, NULL, add, (void *)number) == 0, "third thread");
        expected += number;
        must(pthread_detach(third) == 0, "detach");
        must(pthread_join(second, &value) == 0, "join");
        must((uintptr_t)value == (number + 7) * (number + 7), "what the second thread ran");
        must(pthread_join(first, &value) == 0 && (uintptr_t)value == number * number, "the first");
    }
    for (int i = 0; i < 1000; i++) {
        pthread_mutex_lock(&lock);
        int same = detached == expected;
        pthread_mutex_unlock(&lock);
        if (same)
            return unused;
        usleep(10000);
    }
    must(0, "what detached threads ran");
    return unused;
}

static void *children(void *unused)
{
    for (int number = 0; goes_on(); number++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            int fd = open("/dev/null", O_RDONLY);
            _exit(fd >= 0 && close(fd) == 0 ? number % 100 : 255);
        }
        must(child > 0 && waitpid(child, &status, 0) == child, "waitpid");
        must(WIFEXITED(status) && WEXITSTATUS(status) == number % 100, "status of a child");
    }
    return unused;
}

int main(int argc, char **argv)
{
    void *(*work[])(void *) = {descriptors, blocks, threads, children};
    pthread_t workers[4];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    end = now.tv_sec + (argc > 1 ? atoi(argv[1]) : 1) + 1;
    for (int i = 0; i < 4; i++)
        must(pthread_create(&workers[i], NULL, work[i], NULL) == 0, "worker");
    for (int i = 0; i < 4; i++)
        must(pthread_join(workers[i], NULL) == 0, "end of a worker");
    puts("whole");
    return 0;
}
