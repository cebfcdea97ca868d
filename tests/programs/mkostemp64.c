#define SYMBOL mkostemp64
#include "mkostemp.c"
