#include "../row.h"
#include <ucontext.h>

/* Calls on stacks that are no thread's. */
static ucontext_t main_context, contexts[4];
static char stacks[4][32768] __attribute__((aligned(16)));
static int results[4];
static void works(int number) {
  for (int i = 0; i < 10; i++) {
    int fd = open("/dev/null", O_RDONLY);
    swapcontext(&contexts[number], &main_context);
    results[number] += fd >= 0 && close(fd) == 0;
    if (i == 5) results[number] += open("/absent", O_RDONLY) == -1;
  }
}

int main(void) {
  for (int i = 0; i < 4; i++) {
    getcontext(&contexts[i]);
    contexts[i].uc_stack.ss_sp = stacks[i];
    contexts[i].uc_stack.ss_size = sizeof stacks[i];
    contexts[i].uc_link = &main_context;
    makecontext(&contexts[i], (void (*)(void))works, 1, i);
  }
  for (int round = 0; round < 11; round++)
    for (int i = 0; i < 4; i++) swapcontext(&main_context, &contexts[i]);
  for (int i = 0; i < 4; i++) SAY(results[i]);
  CALL(open("/dev/null", O_RDONLY));
  return 0;
}
