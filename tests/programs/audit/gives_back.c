// A thread that is joined and one that is not waited for, a block, a mapping that goes in two halves.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void *works(void *argument) {
    return argument;
}

int main(void) {
    pthread_t joined, detached;
    if (pthread_create(&joined, NULL, works, NULL) || pthread_create(&detached, NULL, works, NULL)) return 1;
    pthread_detach(detached);
    pthread_join(joined, NULL);
    /* Not the first event: the region is there already, and this block is recorded all the same. */
    char *volatile block = malloc(1234);
    free(block);
    char *mapping = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(mapping, 4096);
    munmap(mapping + 4096, 4096);
    return 0;
}
