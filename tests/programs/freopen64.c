#define SYMBOL freopen64
#include "freopen.c"
