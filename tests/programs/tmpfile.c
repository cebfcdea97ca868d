#include "row.h"
#ifndef SYMBOL
#define SYMBOL tmpfile
#endif

int main(void) {
  char text[8] = "";
  FILE *file = POINTER(SYMBOL());
  FLAGS(fileno(file));
  SAY(fputs("text", file) >= 0);
  rewind(file);
  SAY(fgets(text, sizeof text, file) && strcmp(text, "text") == 0);
  CALL(fclose(file));
  row_no_descriptors();
  POINTER(SYMBOL());
  return 0;
}
