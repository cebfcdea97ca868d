#include "used.h"
#define SYMBOL pwrite64
#include "pwrite.c"
