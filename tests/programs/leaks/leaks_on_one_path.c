#include <fcntl.h>
#include <unistd.h>

__attribute__((noinline)) static int read_config(const char *path, int is_sound) {
  int fd = open(path, O_RDONLY);
  if (!is_sound) return -1;
  close(fd);
  return 0;
}

int main(void) {
  for (int i = 0; i < 20; i++) {
    read_config("/etc/passwd", 1);
    read_config("/etc/hosts", 0);
  }
  return 0;
}
