/* As epoll_wait, with signals that are let through. */
#include "used.h"
#include <sys/epoll.h>
#define SYMBOL(set, events, most, timeout) epoll_pwait(set, events, most, timeout, 0)
#include "epoll_wait.c"
