#include "row.h"

int main(void) {
  row_file("file", "content");
  CALL(mkdir("root", 0755));
  row_file("root/inside", "content");
  CALL(open("file", O_RDONLY));
  CALL(chroot("absent"));
  CALL(chroot("file"));
  CALL(chroot(NOWHERE));
  CALL(chroot("root"));
  CALL(open("/inside", O_RDONLY));
  CALL(chdir("/"));
  CALL(open("/proc/self/maps", O_RDONLY));
  CALL(close(3));
  CALL(open("/inside", O_RDONLY));
  return 0;
}
