#include "row.h"
#include <sys/timerfd.h>

int main(void) {
  struct itimerspec soon = {.it_value.tv_nsec = 1000};
  uint64_t expired = 0;
  int fd = CALL(timerfd_create(CLOCK_MONOTONIC, 0));
  FLAGS(fd);
  CALL(timerfd_settime(fd, 0, &soon, 0));
  CALL(read(fd, &expired, sizeof expired));
  SAY(expired);
  fd = CALL(timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK));
  FLAGS(fd);
  CALL(timerfd_create(4711, 0));
  CALL(timerfd_create(CLOCK_MONOTONIC, 4711));
  row_no_descriptors();
  CALL(timerfd_create(CLOCK_MONOTONIC, 0));
  return 0;
}
