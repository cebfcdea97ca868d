#define SYMBOL mkstemp64
#include "mkstemp.c"
