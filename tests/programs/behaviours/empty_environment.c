#include "../row.h"
/* No environment, no arguments: nothing to read a configuration from. */
int main(int count, char **arguments) {
  if (count > 0 && !(arguments[1] && !strcmp(arguments[1], "end"))) {
    char *preload = getenv("LD_PRELOAD"), variable[4096];
    snprintf(variable, sizeof variable, "LD_PRELOAD=%s", preload ? preload : "");
    char *only[] = {variable, 0}, *again[] = {arguments[0], "end", 0};
    CALL(open("/dev/null", O_RDONLY));
    execve("/proc/self/exe", again, preload ? only : (char *[]){0});
    return 1;
  }
  CALL(open("/dev/null", O_RDONLY));
  clearenv();
  CALL(open("/dev/null", O_RDONLY));
  return 0;
}
