#include "row.h"
#include <pty.h>

int main(void) {
  int master = -1, slave = -1;
  char byte = 0;
  CALL(openpty(&master, &slave, NULL, NULL, NULL));
  FLAGS(master);
  FLAGS(slave);
  CALL(write(slave, "x", 1));
  CALL(read(master, &byte, 1));
  SAY(byte == 'x');
  CALL(close(slave));
  CALL(close(master));
  struct winsize size = {.ws_row = 7, .ws_col = 9};
  CALL(openpty(&master, &slave, NULL, NULL, &size));
  memset(&size, 0, sizeof size);
  CALL(ioctl(slave, TIOCGWINSZ, &size));
  SAY(size.ws_row == 7 && size.ws_col == 9);
  row_no_descriptors();
  CALL(openpty(&master, &slave, NULL, NULL, NULL));
  return 0;
}
