// build: -g
// Leaves open what has names that could harm a terminal, a CI log or a page; the directory is its own.
#include "../../../shim/include/resshim.h"
#include <fcntl.h>
#include <stdio.h>

static const char *const NAMES[] = {
    "\033[31mred\033[2J\033]0;title\007", "\n::error file=x::gone", "<script>alert(1)<\u2215script>",
    "\u202egnp.exe", "|[x](javascript:x)|`\\", "\xff\xfe bytes", "\u200b\u200d",
};

int main(void)
{
    for (unsigned i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        if (open(NAMES[i], O_CREAT | O_RDWR, 0600) < 0)
            perror("open");
        resshim_acquire(NAMES[i], i, NAMES[i]);
        resshim_state(NAMES[i], i, NAMES[i]);
        resshim_phase(NAMES[i]);
    }
    return 0;
}
