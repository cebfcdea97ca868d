/* What every program here says its results with: deterministic lines, no addresses, no pids.
 * A program is one hooked symbol (its file's name): success, failure with errno, and the call
 * by a thread that is being cancelled where it is a cancellation point (pthreads(7)).
 * Descriptor numbers are printed as they are: the shim holds none, so they never differ. */
#ifndef ROW_H
#define ROW_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* No call of this errno: if it is still there, the call has not touched it. */
enum { UNTOUCHED = 4711 };

/* Pointers that the compiler knows nothing of: an address that is never mapped, and none. */
static void *volatile row_nowhere = (void *)8, *volatile row_nothing = 0;
#define NOWHERE row_nowhere
#define NOTHING row_nothing

/* What was printed before a fork or a kill is out. */
__attribute__((constructor)) static void row_line_by_line(void) { setvbuf(stdout, 0, _IOLBF, 0); }

static inline long row_say(const char *what, long result) {
  int error = errno;
  printf("%s = %ld", what, result);
  if (error != UNTOUCHED) printf(" %s", error ? strerrorname_np(error) : "errno cleared");
  putchar('\n');
  errno = error;
  return result;
}
/* Makes the call, prints its text, its result, and errno if the call has set it. */
#define CALL(expression) (errno = UNTOUCHED, row_say(#expression, (long)(expression)))
/* The same for calls whose result is a pointer: prints whether there is one. */
#define POINTER(expression) \
  ({ errno = UNTOUCHED; __auto_type row_p = (expression); row_say(#expression, row_p != 0); row_p; })
/* Prints the value of an expression that makes no call of interest. */
#define SAY(expression) printf("%s: %ld\n", #expression, (long)(expression))
/* Close-on-exec flag and status flags of a descriptor; -1 if it is closed. Asked of the kernel
 * directly, so that a hook that answers wrongly is found. */
#define FLAGS(fd) \
  printf("%s: cloexec %ld, status %lo\n", #fd, syscall(SYS_fcntl, fd, F_GETFD), \
         syscall(SYS_fcntl, fd, F_GETFL) & ~(long)O_LARGEFILE & 017777777)

/* A file of this content in the working directory, made without hooked calls. */
static inline void row_file(const char *name, const char *content) {
  int fd = (int)syscall(SYS_openat, AT_FDCWD, name, O_CREAT | O_TRUNC | O_WRONLY, 0644);
  if (write(fd, content, strlen(content)) < 0) perror(name);
  syscall(SYS_close, fd);
}

/* From now on every new descriptor is one too many (EMFILE). */
static inline void row_no_descriptors(void) {
  struct rlimit none = {0, 0};
  getrlimit(RLIMIT_NOFILE, &none);
  none.rlim_cur = 0;
  setrlimit(RLIMIT_NOFILE, &none);
}

/* From now on every new process is one too many (EAGAIN); root has no such limit, so it is left. */
static inline void row_no_processes(void) {
  struct rlimit none = {0, 0};
  syscall(SYS_setresuid, 65534, 65534, 65534);
  setrlimit(RLIMIT_NPROC, &none);
}

struct row_case {
  void *(*body)(void *);
  void *argument;
  int pending, cleaned;
  int tid;
};
static inline void row_cleanup(void *argument) { ((struct row_case *)argument)->cleaned = 1; }
static inline void *row_thread(void *argument) {
  struct row_case *self = (struct row_case *)argument;
  void *result;
  pthread_cleanup_push(row_cleanup, self);
  /* Deferred cancellation acts in the next cancellation point: in the body's call. */
  if (self->pending) pthread_cancel(pthread_self());
  __atomic_store_n(&self->tid, (int)syscall(SYS_gettid), __ATOMIC_RELEASE);
  result = self->body(self->argument);
  pthread_cleanup_pop(0);
  return result;
}
/* Waits until the thread sleeps in the kernel (or ten seconds). */
static inline void row_until_asleep(int tid) {
  char path[64], text[256];
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
  for (int tries = 0; tries < 10000; tries++) {
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY);
    long length = read(fd, text, sizeof text - 1);
    syscall(SYS_close, fd);
    text[length < 0 ? 0 : length] = 0;
    char *state = strrchr(text, ')');
    if (state && state[2] == 'S') return;
    usleep(1000);
  }
}
static inline void row_cancel(const char *what, int pending, void *(*body)(void *), void *argument) {
  struct row_case self = {body, argument, pending, 0, 0};
  pthread_t thread;
  void *result;
  if (pthread_create(&thread, 0, row_thread, &self)) abort();
  if (!pending) {
    while (!__atomic_load_n(&self.tid, __ATOMIC_ACQUIRE)) usleep(100);
    row_until_asleep(self.tid);
    pthread_cancel(thread);
  }
  pthread_join(thread, &result);
  printf("%s %s: %s, cleanup %s\n", what, pending ? "with a cancellation pending" : "blocked",
         result == PTHREAD_CANCELED ? "cancelled" : "returned", self.cleaned ? "ran" : "did not run");
}
/* The call in `body` by a thread whose cancellation is pending. */
#define CANCEL_PENDING(body, argument) row_cancel(#body, 1, body, argument)
/* The call in `body`, which blocks, by a thread that is then cancelled. */
#define CANCEL_BLOCKED(body, argument) row_cancel(#body, 0, body, argument)

/* Prints how a child ended. */
static inline void row_status(const char *what, int status) {
  if (WIFEXITED(status)) printf("%s: exit %d\n", what, WEXITSTATUS(status));
  else if (WIFSIGNALED(status)) printf("%s: signal %d\n", what, WTERMSIG(status));
  else printf("%s: status %x\n", what, status);
}
/* Waits for a child with the bare system call and prints how it ended. */
static inline void row_reap(const char *what, pid_t pid) {
  int status = -1;
  while (syscall(SYS_wait4, pid, &status, 0, 0) < 0 && errno == EINTR) {}
  row_status(what, status);
}
#endif
