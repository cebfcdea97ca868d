// part of dlclose.c and of behaviours
#include "row.h"

__attribute__((constructor)) static void loaded(void) { CALL(open("/dev/null", O_RDONLY)); }
__attribute__((destructor)) static void unloaded(void) { CALL(close(3)); }
int plugin_opens(void) { return open("/dev/null", O_RDONLY | O_CLOEXEC); }
