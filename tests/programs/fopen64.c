#define SYMBOL fopen64
#include "fopen.c"
