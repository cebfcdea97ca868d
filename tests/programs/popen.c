#include "row.h"

int main(void) {
  char text[16] = "";
  FILE *file = POINTER(popen("echo from child", "r"));
  FLAGS(fileno(file));
  SAY(fgets(text, sizeof text, file) && strcmp(text, "from child\n") == 0);
  CALL(pclose(file));
  file = POINTER(popen("exit 3", "we"));
  FLAGS(fileno(file));
  SAY(WEXITSTATUS(pclose(file)));
  POINTER(popen("true", "q"));
  row_no_descriptors();
  POINTER(popen("true", "r"));
  return 0;
}
