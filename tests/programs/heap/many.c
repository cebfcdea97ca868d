// build: -fno-builtin
// Keeps 256 MiB in blocks of 64 bytes, after as much was made and freed at once.
#include <stdlib.h>

int main(void)
{
    static char *kept[4 << 20];
    for (int i = 0; i < 4 << 20; i++) {
        free(malloc(64));
        kept[i] = malloc(64);
    }
    return kept[1] == 0;
}
