#include "row.h"
#ifndef SYMBOL
#define SYMBOL fopen
#endif

static void *opens(void *path) { return SYMBOL(path, "r"); }

int main(void) {
  char text[16] = "";
  row_file("file", "content");
  FILE *file = POINTER(SYMBOL("file", "r"));
  FLAGS(fileno(file));
  SAY(fgets(text, sizeof text, file) && strcmp(text, "content") == 0);
  FILE *closed_by_exec = POINTER(SYMBOL("file", "a+e"));
  FLAGS(fileno(closed_by_exec));
  POINTER(SYMBOL("new", "wx"));
  POINTER(SYMBOL("new", "wx"));
  POINTER(SYMBOL("absent", "r"));
  POINTER(SYMBOL("file", "q"));
  POINTER(SYMBOL(NOWHERE, "r"));
  CALL(mkfifo("fifo", 0600));
  CANCEL_PENDING(opens, "file");
  CANCEL_BLOCKED(opens, "fifo");
  row_no_descriptors();
  POINTER(SYMBOL("file", "r"));
  return 0;
}
