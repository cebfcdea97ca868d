/* What each program of this folder does with the C API. */
#include "../../../shim/include/resshim.h"
#include <stdio.h>

static int shown(void *context, const char *kind, uint64_t handle, const char *label)
{
    int *count = (int *)context;
    printf("%s %llu %s\n", kind, (unsigned long long)handle, label);
    return ++*count == 2; /* stops at the second */
}

static void use_the_api(void)
{
    int count = 0;
    resshim_phase("start");
    resshim_acquire("session", 1, "alice");
    resshim_acquire("session", 2, "bob");
    resshim_acquire("session", 3, "carol");
    resshim_acquire("database", 7, "db://u:secret@host:5432/orders?password=secret of db://b/c#d");
    resshim_state("session", 1, "busy");
    resshim_depends("session", 1, "database", 7, "waits-for");
    resshim_expect("session", 1.5);
    resshim_release("session", 2);
    resshim_each("session", shown, &count);
    printf("sessions seen: %d\n", count);
    count = 1;
    resshim_each("database", shown, &count);
    resshim_each("nothing", shown, &count);
    printf("end %d\n", count);
}
