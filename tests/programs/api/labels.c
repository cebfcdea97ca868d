// Names a resource by each of its arguments and prints what the shim keeps of them.
#include "../../../shim/include/resshim.h"
#include <stdio.h>
#include <string.h>

static int shown(void *context, const char *kind, uint64_t handle, const char *label)
{
    (void)context, (void)kind, (void)handle;
    puts(label);
    return 0;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        resshim_acquire("connection", i, argv[i]);
        resshim_state("connection", i, argv[i]);
        resshim_phase(argv[i]);
        resshim_depends("connection", i, "connection", i, argv[i]);
        resshim_each("connection", shown, NULL);
        resshim_release("connection", i);
    }
    return 0;
}
