/* What libc allocates for itself, at the calls of a program that gives back all that it got. */
#include "../row.h"
#include <locale.h>
#include <netdb.h>
#include <pwd.h>

int main(void) {
  char *line = 0, *text = 0;
  size_t room = 0;
  setlocale(LC_ALL, "");
  time_t now = 1;
  struct tm *tm = localtime(&now);
  printf("%d\n", tm ? tm->tm_year : 0);
  struct addrinfo *addresses = 0;
  if (getaddrinfo("localhost", "80", 0, &addresses) == 0) freeaddrinfo(addresses);
  printf("%d\n", getpwuid(0) != 0);
  FILE *file = fopen("/etc/passwd", "r");
  if (file && getline(&line, &room, file) > 0 && asprintf(&text, "%s", line) > 0) puts(text);
  free(text);
  free(line);
  if (file) fclose(file);
  return 0;
}
