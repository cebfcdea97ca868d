// build: -fno-builtin -g
// Frees one block twice; the C library notices and aborts.
#include <stdlib.h>

__attribute__((noinline)) static void give_back(char *block)
{
    free(block);
}

int main(void)
{
    char *block = malloc(100), *other = malloc(100);
    give_back(other);
    give_back(block);
    give_back(block);
    return 0;
}
