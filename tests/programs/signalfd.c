#include "row.h"
#include <sys/signalfd.h>

int main(void) {
  sigset_t set;
  struct signalfd_siginfo seen = {0};
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  CALL(sigprocmask(SIG_BLOCK, &set, 0));
  int fd = CALL(signalfd(-1, &set, 0));
  FLAGS(fd);
  CALL(raise(SIGUSR1));
  CALL(read(fd, &seen, sizeof seen));
  SAY(seen.ssi_signo);
  sigaddset(&set, SIGUSR2);
  CALL(signalfd(fd, &set, 0));
  fd = CALL(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  FLAGS(fd);
  CALL(signalfd(1, &set, 0));
  CALL(signalfd(99, &set, 0));
  CALL(signalfd(-1, &set, 4711));
  CALL(signalfd(-1, NOWHERE, 0));
  row_no_descriptors();
  CALL(signalfd(-1, &set, 0));
  return 0;
}
