#include "../row.h"
/* A daemon's start: open, chroot, give up root, fork workers that open and close. */
int main(void) {
  CALL(mkdir("jail", 0755));
  row_file("jail/file", "content");
  CALL(open("/dev/null", O_RDONLY));
  CALL(chroot("jail"));
  CALL(chdir("/"));
  CALL(setgid(65534));
  CALL(setuid(65534));
  for (int worker = 0; worker < 3; worker++) {
    pid_t child = fork();
    if (child == 0) {
      int done = 0;
      for (int i = 0; i < 50; i++) done += close(open("/file", O_RDONLY)) == 0;
      _exit(done);
    }
    row_reap("worker", child);
  }
  CALL(open("/file", O_RDONLY));
  return 0;
}
