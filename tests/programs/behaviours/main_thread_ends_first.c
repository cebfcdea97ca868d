#include "../row.h"
/* pthread_exit in main: the process lives on until its last thread ends. */
static void *goes_on(void *main_thread) {
  pthread_join(*(pthread_t *)main_thread, 0);
  CALL(open("/dev/null", O_RDONLY));
  CALL(close(3));
  return 0;
}

int main(void) {
  static pthread_t main_thread;
  pthread_t thread;
  main_thread = pthread_self();
  CALL(pthread_create(&thread, 0, goes_on, &main_thread));
  CALL(pthread_detach(thread));
  pthread_exit(0);
}
