#define SYMBOL __open64_2
#include "__open_2.c"
