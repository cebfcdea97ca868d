#define SYMBOL mkstemps64
#include "mkstemps.c"
