#include "row.h"

int main(void) {
  int entries = 0;
  row_file("file", "content");
  DIR *directory = POINTER(opendir("."));
  FLAGS(dirfd(directory));
  while (readdir(directory)) entries++;
  SAY(entries);
  CALL(closedir(directory));
  POINTER(opendir("absent"));
  POINTER(opendir("file"));
  POINTER(opendir(""));
  
  row_no_descriptors();
  POINTER(opendir("."));
  return 0;
}
