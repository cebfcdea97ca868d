// Does one thing for each byte that it reads, and answers with a line each time:
//   o  opens /dev/null ten times and closes it nine times        f  the same in a child, for which it waits
//   b  two threads begin to open and close it, until             e  they end; the line is how often they opened it
// It ends with its input.
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_int busy;

static void must(int holds, const char *what)
{
    if (!holds) {
        perror(what);
        _exit(1);
    }
}

static void open_ten(void)
{
    for (int i = 0; i < 10; i++) {
        int fd = open("/dev/null", O_RDONLY);
        must(fd >= 0 && (i == 0 || close(fd) == 0), "open, close");
    }
}

static void *works(void *count)
{
    while (busy) {
        for (int i = 0; i < 20; i++) {
            int fd = open("/dev/null", O_RDONLY);
            must(fd >= 0 && close(fd) == 0, "open, close");
            ++*(long *)count;
        }
        usleep(1000);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[2];
    long counts[2] = {0, 0};
    char order;
    int status;

    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    puts("ready");
    while (read(0, &order, 1) == 1) {
        pid_t child;
        switch (order) {
        case 'o':
            open_ten();
            puts("opened");
            break;
        case 'f':
            must((child = fork()) >= 0, "fork");
            if (child == 0) {
                open_ten();
                _exit(0);
            }
            must(waitpid(child, &status, 0) == child && status == 0, "waitpid");
            puts("forked");
            break;
        case 'b':
            busy = 1;
            for (int i = 0; i < 2; i++)
                must(pthread_create(&threads[i], NULL, works, &counts[i]) == 0, "thread");
            puts("busy");
            break;
        case 'e':
            busy = 0;
            for (int i = 0; i < 2; i++)
                must(pthread_join(threads[i], NULL) == 0, "join");
            printf("%ld\n", counts[0] + counts[1]);
            break;
        }
    }
    return 0;
}
