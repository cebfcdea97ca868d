// build: -no-pie -fno-pie -Wl,-z,max-page-size=0x200000 -Wl,--build-id=sha1
// Code, constants and data 2 MiB apart: where they are is printed, one descriptor is opened.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char constant[] = "/dev/null";
static int variable;
// In a program that is not position-independent this is an entry of its own linkage table.
static void *(*const allocate)(size_t) = malloc;

int main(void) {
  int fd = open(constant, O_RDONLY);
  close(fd);
  free(allocate(1));
  printf("%lx %lx %lx\n", (unsigned long)main, (unsigned long)constant, (unsigned long)&variable);
  return variable;
}
