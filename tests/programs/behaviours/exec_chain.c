#include "../row.h"
/* One process, five images; what is not close-on-exec stays. */
int main(int count, char **arguments) {
  int image = count > 1 ? atoi(arguments[1]) : 1;
  printf("image %d\n", image);
  for (int fd = 3; fd < 9; fd++) FLAGS(fd);
  CALL(open("/dev/null", O_RDONLY));
  CALL(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (image == 3) CALL(close(3));
  if (image == 5) return 5;
  char next[] = {(char)('1' + image), 0};
  if (image % 2) execl("/proc/self/exe", arguments[0], next, (char *)0);
  execve("/proc/self/exe", (char *[]){arguments[0], next, 0}, environ);
  return 1;
}
