#include "used.h"
#define SYMBOL pread64
#include "pread.c"
