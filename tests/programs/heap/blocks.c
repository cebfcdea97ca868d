// Makes 1000 blocks of 100 bytes in one function, frees 900 of them.
#include <stdlib.h>
#include <string.h>

__attribute__((noinline)) static char *make_block(void)
{
    char *block = malloc(100);
    memset(block, 1, 100);
    return block;
}

int main(void)
{
    static char *kept[1000];
    for (int i = 0; i < 1000; i++)
        kept[i] = make_block();
    for (int i = 0; i < 900; i++)
        free(kept[i]);
    return kept[950] == 0;
}
