#include "../row.h"
#include <sys/time.h>

/* The handler does what the interrupted code does. */
static volatile sig_atomic_t handled, wrong;
static void storm(int number) {
  (void)number;
  int saved = errno, fd = open("/dev/null", O_RDONLY);
  if (fd < 0 || close(fd) || open("/absent", O_RDONLY) != -1) wrong++;
  handled++;
  errno = saved;
}

int main(void) {
  struct sigaction action = {.sa_handler = storm, .sa_flags = SA_RESTART};
  struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
  sigaction(SIGALRM, &action, 0);
  setitimer(ITIMER_REAL, &often, 0);
  for (int i = 0; i < 200000 && handled < 1000; i++) {
    errno = UNTOUCHED;
    int fd = open("/dev/null", O_RDONLY);
    if (fd < 3 || fd > 4 || close(fd) || errno != UNTOUCHED) wrong++;
  }
  setitimer(ITIMER_REAL, &never, 0);
  SAY(handled > 10);
  SAY(wrong);
  CALL(open("/dev/null", O_RDONLY));
  return 0;
}
