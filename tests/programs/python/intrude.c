/* A library for guards.py: code that runs on a thread of an interpreter at moments at which its frames must not be read,
 * or may be. Each opens a file. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

static const char *signal_path, *stack_path;
static volatile int signals;

static void touch(const char *path)
{
    int fd = open(path, O_RDONLY);
    if (fd >= 0)
        close(fd);
}

static void on_alarm(int number)
{
    (void)number;
    signals++;
    touch(signal_path);
}

/* Opens `path` in a signal handler, every millisecond, wherever the interpreter is. */
void interrupt_with(const char *path)
{
    signal_path = path;
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, 0);
    struct itimerval timer = {{0, 1000}, {0, 1000}};
    setitimer(ITIMER_REAL, &timer, 0);
}

int interrupted(void) { return signals; }

void interrupt_no_more(void)
{
    struct itimerval none = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &none, 0);
}

static ucontext_t here, there;

__attribute__((used, visibility("hidden"))) void elsewhere(void)
{
    touch(stack_path);
    swapcontext(&there, &here);
}

/* The outermost function of that stack, and told to be: nothing called it. */
void bottom(void);
__asm__(".text\n"
        "bottom:\n"
        "    .cfi_startproc\n"
        "    .cfi_undefined rip\n"
        "    subq $8, %rsp\n"
        "    call elsewhere\n"
        "    hlt\n"
        "    .cfi_endproc\n");

/* Opens `path` on a stack of its own: as other languages' coroutines run. */
void on_another_stack(const char *path)
{
    static char stack[256 << 10];
    stack_path = path;
    getcontext(&there);
    there.uc_stack.ss_sp = stack;
    there.uc_stack.ss_size = sizeof stack;
    makecontext(&there, bottom, 0);
    swapcontext(&here, &there);
}

/* Opens `path` for ever. */
void forever(const char *path)
{
    for (;;) {
        touch(path);
        usleep(2000);
    }
}
