#define SYMBOL _Fork
#include "fork.c"
