/* Threads whose descriptors go from a socket to a directory stream and back. Nothing is closed wrongly here: the
   number of a socket that one thread has just closed may be the stream's of another before anybody could look. */
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { THREADS = 4, ROUNDS = 20000 };

static void *sockets(void *unused)
{
    (void)unused;
    for (int i = 0; i < ROUNDS; i++)
        close(socket(AF_UNIX, SOCK_STREAM, 0));
    return NULL;
}

static void *directories(void *unused)
{
    (void)unused;
    for (int i = 0; i < ROUNDS; i++)
        closedir(opendir("/"));
    return NULL;
}

int main(void)
{
    pthread_t threads[2 * THREADS];
    for (int i = 0; i < 2 * THREADS; i++)
        pthread_create(&threads[i], NULL, i % 2 ? sockets : directories, NULL);
    for (int i = 0; i < 2 * THREADS; i++)
        pthread_join(threads[i], NULL);
    puts("done");
    return 0;
}
