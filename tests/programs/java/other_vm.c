// build: -rdynamic -ldl
/* A VM that loads agents and has AsyncGetCallTrace, but does not describe itself as HotSpot does. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

typedef int (*on_load)(const void *vm, const char *options, const void *reserved);
typedef void (*on_unload)(const void *vm);

/* A table of the right length whose first entry has no name. */
static const char entry[64];
const char *gHotSpotVMStructs = entry;
unsigned long gHotSpotVMStructEntryArrayStride = 48, gHotSpotVMStructEntryTypeNameOffset = 0,
              gHotSpotVMStructEntryFieldNameOffset = 8, gHotSpotVMStructEntryOffsetOffset = 32,
              gHotSpotVMStructEntryAddressOffset = 40;

void AsyncGetCallTrace(void *trace, int depth, void *context) { abort(); }

static int get_env(const void *vm, void **env, int version) { return -3; /* JNI_EVERSION */ }

int main(void) {
    const void *table[8] = {0, 0, 0, 0, 0, 0, (const void *)get_env, 0};
    const void *const *vm = table;
    on_load load = (on_load)dlsym(RTLD_DEFAULT, "Agent_OnLoad");
    on_unload unload = (on_unload)dlsym(RTLD_DEFAULT, "Agent_OnUnload");
    if (load && load(&vm, "", 0) != 0)
        return 3;
    for (int i = 0; i < 20; i++)
        if (open("/etc/hostname", O_RDONLY) < 0)
            return 4;
    if (unload)
        unload(&vm);
    puts("done");
    return 0;
}
