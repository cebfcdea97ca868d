#include "../row.h"
/* ulimit -n 8: five numbers are left. The program runs itself again, so that everything starts under the limit. */
int main(int count, char **arguments) {
  if (count == 1) {
    struct rlimit limit = {8, 8};
    setrlimit(RLIMIT_NOFILE, &limit);
    execl("/proc/self/exe", arguments[0], "limited", (char *)0);
    return 1;
  }
  for (int i = 0; i < 7; i++) CALL(open("/dev/null", O_RDONLY));
  for (int i = 0; i < 3000; i++) open("/dev/null", O_RDONLY);
  CALL(socket(AF_UNIX, SOCK_STREAM, 0));
  for (int fd = 3; fd < 9; fd++) CALL(close(fd));
  pid_t child = fork();
  if (child == 0) _exit(open("/dev/null", O_RDONLY));
  row_reap("child", child);
  CALL(dup2(1, 7));
  CALL(dup2(1, 8));
  return 0;
}
