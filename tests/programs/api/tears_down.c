/* Forgets a file and a lease, which are given back when it is over. With an argument: without the phase. */
#include "../../../shim/include/resshim.h"
#include <fcntl.h>
#include <unistd.h>

static int forgets(void)
{
    int fd = open("/dev/null", O_RDONLY);
    resshim_acquire("lease", 7, "seven");
    return fd;
}

static void keeps_in_order(void)
{
    resshim_acquire("lease", 8, "eight");
    close(open("/dev/null", O_RDONLY));
    resshim_release("lease", 8);
}

int main(int argc, char **argv)
{
    (void)argv;
    int fd = forgets();
    keeps_in_order();
    resshim_phase(argc > 1 ? "end" : "exit");
    keeps_in_order();
    resshim_release("lease", 7);
    close(fd);
    return 0;
}
