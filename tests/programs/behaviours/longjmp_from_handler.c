#include "../row.h"
#include <setjmp.h>
#include <sys/time.h>

/* A jump out of a handler that interrupted a call: what comes after the call never runs. */
static sigjmp_buf place;
static int inside_;
static void jumps(int number) {
  (void)number;
  if (inside_) siglongjmp(place, 1);
}

int main(void) {
  struct sigaction action = {.sa_handler = jumps, .sa_flags = SA_NODEFER};
  struct itimerval soon = {{0, 0}, {0, 2000}};
  volatile int jumped = 0;
  sigaction(SIGALRM, &action, 0);
  CALL(mkfifo("fifo", 0600));
  for (volatile int i = 0; i < 20; i++) {
    if (sigsetjmp(place, 1)) {
      inside_ = 0;
      jumped++;
      continue;
    }
    inside_ = 1;
    setitimer(ITIMER_REAL, &soon, 0);
    /* Nobody writes: the open of a FIFO blocks until the handler jumps. */
    open("fifo", O_RDONLY);
  }
  SAY(jumped);
  /* And tracking goes on. */
  CALL(open("/dev/null", O_RDONLY));
  CALL(close(3));
  CALL(close(3));
  return 0;
}
