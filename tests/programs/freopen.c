#include "row.h"
#ifndef SYMBOL
#define SYMBOL freopen
#endif

static FILE *stream;
static void *reopens(void *path) { return SYMBOL(path, "r", stream); }

int main(void) {
  char text[16] = "";
  row_file("file", "content");
  row_file("other", "others");
  stream = POINTER(fopen("file", "r"));
  FILE *again = POINTER(SYMBOL("other", "re", stream));
  SAY(again == stream);
  FLAGS(fileno(stream));
  SAY(fgets(text, sizeof text, stream) && strcmp(text, "others") == 0);
  POINTER(SYMBOL(0, "r", stream));
  FLAGS(fileno(stream));
  POINTER(SYMBOL("absent", "r", stream));
  FLAGS(3);
  stream = POINTER(fopen("file", "r"));
  POINTER(SYMBOL("file", "q", stream));
  FLAGS(3);
  stream = POINTER(fopen("file", "r"));
  CANCEL_PENDING(reopens, "other");
  CALL(dup(1));
  return 0;
}
