#define SYMBOL tmpfile64
#include "tmpfile.c"
