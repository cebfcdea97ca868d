#define SYMBOL creat64
#include "creat.c"
