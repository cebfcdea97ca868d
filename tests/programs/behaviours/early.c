// part of before_constructor.c: its constructors run as early as can be
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int early_results[4];
static void *early_block;
__attribute__((constructor(101))) static void early(void) {
  early_results[0] = open("/dev/null", O_RDONLY);
  early_results[1] = close(early_results[0]);
  early_results[2] = socket(AF_UNIX, SOCK_STREAM, 0);
  early_block = calloc(10, 100);
  early_results[3] = early_block != 0;
}
__attribute__((destructor(101))) static void late(void) {
  int fd = open("/dev/null", O_RDONLY);
  free(early_block);
  if (write(1, fd == 7 ? "late 7\n" : "late ?\n", 7) < 0 || close(fd)) abort();
  fd = dup(1);
  close(fd);
}
