#define SYMBOL open64
#include "open.c"
