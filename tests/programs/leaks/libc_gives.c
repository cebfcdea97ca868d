/* What libc gives a program, which forgets it: each at its own line. */
#include "../row.h"
#include <netdb.h>

__attribute__((noinline)) static void *forget_copy(void) { return strdup("a copy"); }
__attribute__((noinline)) static int forget_text(void) {
  char *text = 0;
  return asprintf(&text, "%d texts", 3);
}
__attribute__((noinline)) static long forget_line(FILE *file) {
  char *line = 0;
  size_t room = 0;
  return getline(&line, &room, file);
}
__attribute__((noinline)) static void *forget_path(void) { return realpath("/usr/bin", 0); }
__attribute__((noinline)) static int forget_addresses(void) {
  struct addrinfo *addresses = 0;
  return getaddrinfo("127.0.0.1", "80", 0, &addresses);
}

int main(void) {
  FILE *file = fopen("/etc/passwd", "r");
  int all = forget_copy() && forget_text() > 0 && file && forget_line(file) > 0 && forget_path();
  int addresses = forget_addresses();
  if (file) fclose(file);
  return !(all && addresses == 0);
}
