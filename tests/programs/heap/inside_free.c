// build: -fno-builtin -g -Wno-free-nonheap-object
// Frees an address inside a block.
#include <stdlib.h>

__attribute__((noinline)) static void give_back(char *block)
{
    free(block);
}

int main(void)
{
    char *block = malloc(1000);
    give_back(block + 16);
    return 0;
}
