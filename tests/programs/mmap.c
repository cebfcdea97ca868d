#include "row.h"
#ifndef SYMBOL
#define SYMBOL mmap
#endif

int main(void) {
  row_file("file", "content");
  int fd = CALL(open("file", O_RDWR));
  char *text = SYMBOL(0, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
  SAY(text != MAP_FAILED && strcmp(text, "content") == 0);
  char *pages = SYMBOL(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  SAY(pages != MAP_FAILED);
  memset(pages, 1, 8192);
  SAY(SYMBOL(pages, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0) == (void *)pages);
  SAY(strcmp(pages, "content") == 0 && pages[4096] == 1);
  CALL(SYMBOL(pages, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
  CALL(SYMBOL(0, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  CALL(SYMBOL(0, 4096, PROT_READ, MAP_PRIVATE, 99, 0));
  CALL(SYMBOL(0, 4096, PROT_READ, MAP_PRIVATE, fd, 1));
  CALL(SYMBOL(0, 1UL << 60, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  CALL(SYMBOL(0, 4096, PROT_READ, 0, fd, 0));
  return 0;
}
