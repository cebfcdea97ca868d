/* Forty requests through each of two functions that share one: `leaky` forgets one descriptor in each,
 * unless the program is told to be clean. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int read_config(void) {
    return open("/etc/hostname", O_RDONLY | O_CLOEXEC);
}

__attribute__((noinline)) static void leaky(int is_clean) {
    int fd = read_config(); // leaks here
    if (is_clean)
        close(fd);
}

__attribute__((noinline)) static void healthy(void) {
    int fd = read_config();
    close(fd);
}

int main(int argc, char **argv) {
    int is_clean = argc > 1 && strcmp(argv[1], "clean") == 0;
    for (int i = 0; i < 40; i++) {
        leaky(is_clean);
        healthy();
    }
    return 0;
}
