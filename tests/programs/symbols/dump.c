// part: prints the modules and the stack of its caller, as the shim would store them.
#define _GNU_SOURCE
#include <execinfo.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int module(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size, (void)data;
    unsigned long start = ~0UL, end = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        unsigned long from = info->dlpi_addr + p->p_vaddr, to = from + p->p_memsz;
        if (p->p_type != PT_LOAD)
            continue;
        start = from < start ? from : start;
        end = to > end ? to : end;
    }
    char exe[4096] = "";
    const char *path = info->dlpi_name;
    if (!path[0] && readlink("/proc/self/exe", exe, sizeof exe - 1) > 0)
        path = exe;
    struct stat st = {0};
    stat(path, &st);
    printf("module %lx %lx %lx %lu %s ", start, end, (unsigned long)info->dlpi_addr, (unsigned long)st.st_ino, path);
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        const char *at = (const char *)(info->dlpi_addr + p->p_vaddr), *stop = at + p->p_memsz;
        while (p->p_type == PT_NOTE && at + sizeof(ElfW(Nhdr)) < stop) {
            const ElfW(Nhdr) *note = (const void *)at;
            const char *name = at + sizeof *note;
            const unsigned char *content = (const void *)(name + (note->n_namesz + 3) / 4 * 4);
            if (note->n_type == NT_GNU_BUILD_ID && !memcmp(name, "GNU", 4))
                for (unsigned b = 0; b < note->n_descsz; b++)
                    printf("%02x", content[b]);
            at = (const char *)content + (note->n_descsz + 3) / 4 * 4;
        }
    }
    printf("\n");
    return 0;
}

__attribute__((noinline)) void dump_stack(void)
{
    void *frames[64];
    int count = backtrace(frames, 64);
    dl_iterate_phdr(module, NULL);
    printf("stack");
    for (int i = 1; i < count; i++) // 0 is this function
        printf(" %lx", (unsigned long)frames[i]);
    printf("\n");
    fflush(stdout);
}
