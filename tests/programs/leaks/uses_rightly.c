#include "../used.h"
/* What healthy programs do that looks like the use of what was closed. */
static void at_end(void) {
  if (write(1, "end\n", 4) != -1) _exit(9);
}

int main(void) {
  int ends[2], fds[40];
  atexit(at_end);
  /* Not open for this: the same error. */
  int fd = open("/dev/zero", O_RDONLY);
  if (write(fd, "a", 1) != -1 || errno != EBADF) return 1;
  pipe(ends);
  if (read(ends[1], room, 1) != -1 || write(ends[0], "a", 1) != -1) return 2;
  close(fd);
  /* Another one at the same number. */
  if (open("/dev/zero", O_RDONLY) != fd || read(fd, room, 1) != 1) return 3;
  /* Never open, or none. */
  if (read(-1, room, 1) != -1 || read(400, room, 1) != -1) return 4;
  struct pollfd set[2] = {{-1, POLLIN, 0}, {401, POLLIN, 0}};
  if (poll(set, 2, 0) != 1) return 5;
  /* Who tries one number after the other. */
  for (int i = 0; i < 40; i++) fds[i] = open("/dev/zero", O_RDONLY);
  for (int i = 0; i < 40; i++) close(fds[i]);
  for (int i = 0; i < 40; i++) {
    struct pollfd one = {fds[i], 0, 0};
    if (poll(&one, 1, 0) != 1 || fcntl(fds[i], F_GETFD) != -1) return 6;
  }
  /* A child that cleans up before it becomes something else. */
  if (fork() == 0) {
    close(fd);
    if (read(fd, room, 1) != -1) _exit(1);
    execl("/bin/true", "true", (char *)0);
  }
  wait(0);
  close(1);
  return 0;
}
