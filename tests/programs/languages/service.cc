// As service.c, with a class that lets its descriptor go at its end, and one that does not.
#include <cstring>
#include <fcntl.h>
#include <unistd.h>
#include <vector>

namespace store {
struct Config {
    int fd;
    explicit Config(const char *path) : fd(open(path, O_RDONLY | O_CLOEXEC)) {}
};

template <typename T> struct Handler {
    std::vector<T> kept;
    __attribute__((noinline)) void leaky(bool is_clean) {
        Config config("/etc/hostname"); // leaks here
        if (is_clean)
            close(config.fd);
    }
    __attribute__((noinline)) void healthy() {
        Config config("/etc/hostname");
        close(config.fd);
    }
};
} // namespace store

int main(int argc, char **argv) {
    bool is_clean = argc > 1 && !std::strcmp(argv[1], "clean");
    store::Handler<int> handler;
    for (int i = 0; i < 40; i++) {
        handler.leaky(is_clean);
        handler.healthy();
    }
}
