#include "row.h"

static void *closes(void *file) { return (void *)(long)pclose(file); }

int main(void) {
  FILE *file = POINTER(popen("exit 5", "r"));
  int status = CALL(pclose(file));
  row_status("child", status);
  file = POINTER(popen("kill -9 $$", "r"));
  row_status("child", CALL(pclose(file)));
  /* Reaped by somebody else already. */
  file = POINTER(popen("exit 6", "r"));
  SAY(syscall(SYS_wait4, -1, &status, 0, 0) > 0);
  CALL(pclose(file));
  file = POINTER(popen("cat", "w"));
  CANCEL_PENDING(closes, file);
  return 0;
}
