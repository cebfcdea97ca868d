#include "../row.h"
/* Work that is done while the process ends. */
static void opens(void) {
  FILE *file = POINTER(fopen("written", "w"));
  fputs("at exit", file);
  CALL(fclose(file));
  CALL(open("written", O_RDONLY));
}
static void on_exit_opens(int status, void *argument) {
  printf("%s %d\n", (char *)argument, status);
  CALL(open("/dev/null", O_RDONLY));
}
static void *late(void *unused) {
  return open("/dev/null", O_RDONLY) < 0 ? unused : "opened";
}
static void starts_thread(void) {
  pthread_t thread;
  void *result = 0;
  CALL(pthread_create(&thread, 0, late, 0));
  CALL(pthread_join(thread, &result));
  SAY(result != 0);
}
__attribute__((destructor)) static void last(void) { CALL(open("/dev/null", O_RDONLY)); }

int main(void) {
  atexit(opens);
  on_exit(on_exit_opens, "status");
  atexit(starts_thread);
  return 3;
}
