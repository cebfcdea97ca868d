// What both sanitized programs do before they end.
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void *worker(void *argument) {
  char *block = malloc(1000);
  memset(block, 1, 1000);
  int fd = open("/etc/passwd", O_RDONLY);
  close(fd);
  free(block);
  return argument;
}

static void work(void) {
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, worker, NULL);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  for (int i = 0; i < 1000; i++) free(malloc((size_t)i * 100));
  FILE *stream = fopen("/etc/passwd", "r");
  char line[256] = "";
  if (fgets(line, sizeof line, stream)) printf("%zu\n", strlen(line));
  fclose(stream);
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    puts("child");
    fflush(stdout);
    _exit(5);
  }
  int status;
  waitpid(child, &status, 0);
  printf("%d\n", WEXITSTATUS(status));
  fflush(stdout);
}
