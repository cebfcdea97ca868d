/* For the programs of what uses a descriptor: pipes and sockets with something in them, an interrupted call. */
#ifndef USED_H
#define USED_H
#include "row.h"
#include <poll.h>
#include <sys/time.h>
#include <sys/uio.h>

static char room[64];
/* How much a call is asked for: nothing that the compiler knows. */
static volatile size_t asked = sizeof room;
/* Counts that no call accepts. */
static volatile int too_few = -1;
static volatile unsigned too_many = 1u << 30;

static inline void row_quiet(int signal) { (void)signal; }
/* A signal in a twentieth of a second, whose handler interrupts what blocks then. */
static inline void row_interrupt(void) {
  struct sigaction action = {.sa_handler = row_quiet};
  struct itimerval once = {{0, 0}, {0, 50000}};
  sigaction(SIGALRM, &action, 0);
  setitimer(ITIMER_REAL, &once, 0);
}
/* Bytes put in or taken out without hooked calls. */
static inline void row_put(int fd, const char *text) {
  if (syscall(SYS_write, fd, text, strlen(text)) < 0) perror("put");
}
static inline void row_drain(int fd) {
  char drained[4096];
  syscall(SYS_fcntl, fd, F_SETFL, O_NONBLOCK);
  while (syscall(SYS_read, fd, drained, sizeof drained) > 0) {}
  syscall(SYS_fcntl, fd, F_SETFL, 0);
}
/* So much that no more goes in. */
static inline void row_fill(int fd) {
  static const char bulk[65536];
  syscall(SYS_fcntl, fd, F_SETFL, O_NONBLOCK);
  while (syscall(SYS_write, fd, bulk, sizeof bulk) > 0) {}
  while (syscall(SYS_write, fd, bulk, 1) > 0) {}
  syscall(SYS_fcntl, fd, F_SETFL, 0);
}
#endif
