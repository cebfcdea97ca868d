// part of deep_bind.c
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static void *block;
__attribute__((constructor)) static void loaded(void) { block = malloc(100); }
__attribute__((destructor)) static void unloaded(void) { free(block); }
int plugin_opens(void) { return open("/dev/null", O_RDONLY); }
int plugin_closes(int fd) { return close(fd); }
