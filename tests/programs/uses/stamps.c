/* Files that are used, each at its time and in its way; the name says what is to be seen. */
#include "../used.h"
#include <sys/sendfile.h>

static int file(const char *name) { return open(name, O_CREAT | O_RDWR, 0600); }
/* Time passes, and something happens. */
static void step(void) {
  usleep(100000);
  close(open("/dev/null", O_RDONLY));
}

int main(void) {
  int first = file("first"), second = file("second"), low = file("low"), by_number = file("by number");
  int from = file("from"), to = file("to"), polled = file("polled"), selected = file("selected");
  int in_child = file("in child"), in_vfork = file("in vfork"), failed = open("failed", O_CREAT | O_RDONLY, 0600);
  file("never");
  int high = fcntl(low, F_DUPFD, 900);
  step();
  if (write(first, "a", 1) + write(high, "a", 1) + write(from, "a", 1) != 3) return 1;
  if (syscall(SYS_write, by_number, "a", 1) != 1) return 2;
  if (sendfile(to, from, &(off_t){0}, 1) != 1) return 3;
  struct pollfd set = {polled, POLLIN, 0};
  if (poll(&set, 1, 0) != 1) return 4;
  fd_set reads;
  FD_ZERO(&reads);
  FD_SET(selected, &reads);
  if (select(selected + 1, &reads, 0, 0, 0) != 1) return 5;
  if (write(failed, "a", 1) != -1) return 6;
  pid_t child = fork();
  if (child == 0) {
    /* Not in the parent's table, though the child still has the parent's region. */
    if (write(in_child, "a", 1) != 1) _exit(1);
    file("of child");
    _exit(write(in_child, "a", 1) != 1);
  }
  waitpid(child, 0, 0);
  child = vfork();
  if (child == 0) _exit(write(in_vfork, "a", 1) != 1);
  waitpid(child, 0, 0);
  step();
  if (write(second, "a", 1) != 1) return 7;
  step();
  return 0;
}
