#include "used.h"
#define SYMBOL preadv64
#include "preadv.c"
