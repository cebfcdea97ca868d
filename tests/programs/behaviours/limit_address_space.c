#include "../row.h"
/* ulimit -v: less than a region would like to reserve. The program runs itself again, so that everything starts under the limit. */
int main(int count, char **arguments) {
  if (count == 1) {
    struct rlimit limit = {48 << 20, 48 << 20};
    setrlimit(RLIMIT_AS, &limit);
    execl("/proc/self/exe", arguments[0], "limited", (char *)0);
    return 1;
  }
  for (int i = 0; i < 3; i++) CALL(open("/dev/null", O_RDONLY));
  void *block = malloc(20 << 20);
  SAY(block != NULL);
  free(block);
  POINTER(malloc(64 << 20));
  for (int i = 0; i < 5000; i++) close(open("/dev/null", O_RDONLY));
  pid_t child = fork();
  if (child == 0) _exit(open("/dev/null", O_RDONLY));
  row_reap("child", child);
  return 0;
}
