#include "../row.h"
/* ulimit -f 1: a longer file is a SIGXFSZ. The program runs itself again, so that everything starts under the limit. */
int main(int count, char **arguments) {
  if (count == 1) {
    struct rlimit limit = {1024, 1024};
    setrlimit(RLIMIT_FSIZE, &limit);
    execl("/proc/self/exe", arguments[0], "limited", (char *)0);
    return 1;
  }
  CALL(open("/dev/null", O_RDONLY));
  int fd = CALL(open("file", O_CREAT | O_RDWR, 0600));
  char kilobyte[1024] = {1};
  CALL(write(fd, kilobyte, sizeof kilobyte));
  for (int i = 0; i < 5000; i++) close(open("/dev/null", O_RDONLY));
  pid_t child = fork();
  if (child == 0) {
    close(open("/dev/null", O_RDONLY));
    _exit(4);
  }
  row_reap("child", child);
  signal(SIGXFSZ, SIG_IGN);
  CALL(write(fd, kilobyte, sizeof kilobyte));
  return 0;
}
