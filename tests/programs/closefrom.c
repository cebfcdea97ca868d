#include "row.h"

int main(void) {
  for (int fd = 3; fd < 7; fd++) CALL(dup(1));
  closefrom(5);
  for (int fd = 3; fd < 7; fd++) FLAGS(fd);
  closefrom(3);
  for (int fd = 3; fd < 7; fd++) FLAGS(fd);
  CALL(dup(1));
  return 0;
}
