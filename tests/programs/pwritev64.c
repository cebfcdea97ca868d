#include "used.h"
#define SYMBOL pwritev64
#include "pwritev.c"
