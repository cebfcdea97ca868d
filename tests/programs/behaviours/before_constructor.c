// library: early.c
#include "../row.h"
/* Calls before any constructor of the preload can have run, and after its destructors. */
extern int early_results[4];
static int first = -7;
static void before_all(int count, char **arguments, char **environment) {
  (void)count, (void)arguments, (void)environment;
  first = open("/dev/null", O_RDONLY);
  close(open("/dev/null", O_RDONLY));
  free(malloc(100));
}
__attribute__((section(".preinit_array"), used)) static void (*preinit)(int, char **, char **) = before_all;
static void at_exit(void) { CALL(open("/dev/null", O_RDONLY)); }
__attribute__((destructor)) static void destroyed(void) { CALL(open("/dev/null", O_RDONLY)); }

int main(void) {
  SAY(first);
  for (int i = 0; i < 4; i++) SAY(early_results[i]);
  atexit(at_exit);
  CALL(open("/dev/null", O_RDONLY));
  return 0;
}
