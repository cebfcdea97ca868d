#include "row.h"

static void *value(void *argument) {
  if (errno == 0 && open("/dev/null", O_RDONLY) == 3) return (char *)argument + 1;
  return 0;
}
static void *exits(void *argument) { pthread_exit(argument); }
static void *cancelled(void *argument) {
  while (pause() == -1) {}
  return argument;
}
static void *destroyed;
static void ended(void *argument) { destroyed = argument; }
static pthread_key_t key;
static void *keyed(void *argument) {
  pthread_setspecific(key, argument);
  return 0;
}

int main(void) {
  pthread_t thread;
  pthread_attr_t attributes;
  void *result = 0;
  CALL(pthread_create(&thread, 0, value, (void *)41));
  CALL(pthread_join(thread, &result));
  SAY(result);
  CALL(pthread_create(&thread, 0, exits, (void *)7));
  CALL(pthread_join(thread, &result));
  SAY(result);
  CALL(pthread_create(&thread, 0, cancelled, 0));
  CALL(pthread_cancel(thread));
  CALL(pthread_join(thread, &result));
  SAY(result == PTHREAD_CANCELED);
  CALL(pthread_key_create(&key, ended));
  CALL(pthread_create(&thread, 0, keyed, (void *)9));
  CALL(pthread_join(thread, 0));
  SAY(destroyed);
  CALL(pthread_attr_init(&attributes));
  CALL(pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN));
  CALL(pthread_create(&thread, &attributes, exits, 0));
  CALL(pthread_join(thread, 0));
  CALL(pthread_attr_setstacksize(&attributes, 1L << 46));
  CALL(pthread_create(&thread, &attributes, value, 0));
  return 0;
}
