// plugin: dl_a.c
// plugin: dl_b.c
// build: -ldl
// A library takes the place of another one: the same return addresses, other frames. After dlclose the
// rules of the first must not be used for the second, and both are announced as modules.
#include "compare.h"
#include <link.h>

static int looked(void) { return compare("called by the library"); }

static uintptr_t visit(const char *path, const char *id, uint32_t epoch) {
    static struct module modules[64];
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        printf("%s\n", dlerror());
        exit(2);
    }
    int (*call)(int (*)(void)) = (int (*)(int (*)(void)))dlsym(library, "call");
    /* The first call notes the stack, the second keeps it, the third knows it: in each epoch anew, though the stack
       of the library's second visit is word for word that of its first. */
    size_t known = probe_known();
    for (volatile int i = 0; i < 3; i++) call(looked); /* volatile: from one place */
    if (probe_known() != known + 1) {
        printf("epoch %u: %zu of three known\n", epoch, probe_known() - known);
        mismatches++;
    }
    uintptr_t bias = ((struct link_map *)library)->l_addr;
    size_t count = probe_modules(modules, 64);
    struct module *last = &modules[count - 1];
    if (last->bias != bias || last->start > (uintptr_t)call || last->end <= (uintptr_t)call ||
        strcmp(last->path, path) != 0 || last->build_id_bytes != 4 || memcmp(last->build_id, id, 4) != 0 ||
        last->epoch != epoch) {
        printf("module %lx-%lx bias %lx %s epoch %u\n", last->start, last->end, last->bias, last->path,
               last->epoch);
        mismatches++;
    }
    dlclose(library);
    probe_bump_epoch();
    return (uintptr_t)call;
}

int main(int argc, char **argv) {
    static struct module modules[64];
    if (argc < 3 || !probe_start()) return 2;
    compare("main");
    size_t before = probe_modules(modules, 64);
    /* The first at once again is as one that stayed, and not announced anew. All from one place. */
    uintptr_t at[4];
    for (volatile int i = 0; i < 4; i++)
        at[i] = visit(argv[i == 2 ? 2 : 1], i == 2 ? "\xb1\xb2\xb3\xb4" : "\xa1\xa2\xa3\xa4", i == 1 ? 0 : (uint32_t)i);
    if (at[0] != at[1] || at[1] != at[2] || at[2] != at[3]) {
        printf("the libraries were not mapped at the same address: nothing was tested\n");
        return 3;
    }
    /* Those that stayed are not announced again with each epoch. */
    size_t after = probe_modules(modules, 64);
    if (after != before + 3) {
        printf("%zu modules before, %zu after three libraries\n", before, after);
        mismatches++;
    }
    /* A fork child's region is told all that are still there, though their rules are cached. */
    probe_begin_again();
    if (probe_modules(modules, 64) != before) {
        printf("%zu announced again instead of %zu\n", probe_modules(modules, 64), before);
        mismatches++;
    }
    return finish();
}
