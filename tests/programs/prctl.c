#include "row.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

/* A filter that allows everything. */
int main(void) {
  struct sock_filter filter[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  struct sock_fprog program = {1, filter};
  CALL(prctl(PR_SET_NAME, "renamed"));
  CALL(prctl(PR_SET_SECCOMP, 99, 0));
  CALL(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  CALL(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
  CALL(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, (void *)8));
  return 0;
}
