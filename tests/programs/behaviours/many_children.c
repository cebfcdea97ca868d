#include "../row.h"
/* 200 short children, ten at a time; some end without a word, some after events, some by a signal. */
int main(void) {
  int ends[3] = {0};
  for (int made = 0; made < 200;) {
    pid_t children[10];
    for (int i = 0; i < 10; i++, made++) {
      children[i] = fork();
      if (children[i] == 0) {
        if (made % 3 == 1) close(open("/dev/null", O_RDONLY));
        if (made % 3 == 2) {
          open("/dev/null", O_RDONLY);
          raise(SIGKILL);
        }
        _exit(made % 3);
      }
    }
    for (int i = 0; i < 10; i++) {
      int status = 0;
      waitpid(children[i], &status, 0);
      ends[WIFSIGNALED(status) ? 2 : WEXITSTATUS(status)]++;
    }
  }
  for (int i = 0; i < 3; i++) SAY(ends[i]);
  CALL(open("/dev/null", O_RDONLY));
  return 0;
}
