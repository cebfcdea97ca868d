#define SYMBOL __openat64_2
#include "__openat_2.c"
