#include "../row.h"
/* Root forks workers that give up root before their first event. */
int main(void) {
  for (int worker = 0; worker < 3; worker++) {
    pid_t child = fork();
    if (child == 0) {
      if (setgid(65534)) perror("setgid");
      if (setuid(65534)) perror("setuid");
      int done = 0;
      for (int i = 0; i < 50; i++) done += close(open("/dev/null", O_RDONLY)) == 0;
      done += open("/dev/null", O_RDONLY);
      _exit(done);
    }
    row_reap("worker", child);
  }
  CALL(open("/dev/null", O_RDONLY));
  return 0;
}
