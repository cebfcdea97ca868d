#include "../row.h"
/* Addresses that the kernel refuses: EFAULT must stay EFAULT, never a signal. */
int main(void) {
  int ends[2];
  CALL(open(NOWHERE, O_RDONLY));
  CALL(openat(AT_FDCWD, NOWHERE, O_CREAT | O_WRONLY, 0600));
  CALL(creat(NOWHERE, 0600));
  CALL(pipe(NOWHERE));
  CALL(pipe2(NOWHERE, O_CLOEXEC));
  CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, NOWHERE));
  int fd = CALL(socket(AF_UNIX, SOCK_STREAM, 0));
  CALL(bind(fd, NOWHERE, sizeof(struct sockaddr_un)));
  CALL(connect(fd, NOWHERE, sizeof(struct sockaddr_un)));
  CALL(bind(fd, NOWHERE, 1 << 20));
  CALL(memfd_create(NOWHERE, 0));
  CALL(chroot(NOWHERE));
  CALL(execve(NOWHERE, NOWHERE, NOWHERE));
  CALL(syscall(SYS_openat, AT_FDCWD, NOWHERE, O_RDONLY));
  CALL(syscall(SYS_pipe2, NOWHERE, 0));
  CALL(wait4(-1, NOWHERE, 0, NOWHERE));
  /* A string that ends with its page: nothing behind it may be read. */
  char *pages = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(pages + 4096, 4096, PROT_NONE);
  char *last = strcpy(pages + 4096 - sizeof "/dev/null", "/dev/null");
  CALL(open(last, O_RDONLY));
  memset(pages, 'a', 4096);
  CALL(open(pages + 4000, O_RDONLY));
  struct sockaddr_un *address = (struct sockaddr_un *)(pages + 4096 - 3);
  memcpy(address, "\1\0n", 3);
  CALL(bind(fd, (struct sockaddr *)address, 3));
  SAY(pipe(ends));
  return 0;
}
