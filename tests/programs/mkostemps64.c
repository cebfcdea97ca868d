#define SYMBOL mkostemps64
#include "mkostemps.c"
