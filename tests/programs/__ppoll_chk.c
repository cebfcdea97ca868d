/* What _FORTIFY_SOURCE makes of a ppoll of a set whose size it knows. */
#include "used.h"
#define WITH(set, count, time) __ppoll_chk(set, count, time, 0, (size_t)-1)
#include "ppoll.c"
