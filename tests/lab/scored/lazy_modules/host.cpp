// Modules by number. Which one is asked for goes by a power law: a few at once, others late, some never.
#include <array>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <mutex>
#include <random>
#include <string>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>

enum Kind { Poller, Bell, Watch, Arena, Worker, Config, Scratch, Kinds };
constexpr std::array<const char *, Kinds> kNames{"poller", "bell", "watch", "arena", "worker", "config", "scratch"};
constexpr std::array<long, Kinds> kBytes{0, 0, 0, 256 * 1024, 0, 0, 32 * 1024};

class Counts {
public:
    static void up(Kind kind) { acquired_[kind]++, live_[kind]++; }
    static void down(Kind kind) { live_[kind]--; }
    static void print()
    {
        for (int kind = 0; kind < Kinds; kind++) {
            std::printf("{\"site\": \"%s\", \"acquired\": %ld, \"live\": %ld, \"leaked\": 0", kNames[kind], acquired_[kind], live_[kind]);
            if (kBytes[kind]) std::printf(", \"bytes\": %ld", live_[kind] * kBytes[kind]);
            std::puts("}");
        }
    }

private:
    static inline std::array<long, Kinds> acquired_{}, live_{};
};

class Module {
public:
    int call(unsigned argument);

private:
    int poller();
    int bell();
    int watch();
    char *arena();
    void worker();
    bool config() const;
    void serve();

    int poller_ = -1, bell_ = -1, watch_ = -1;
    char *arena_ = nullptr;
    bool works_ = false;
    unsigned calls_ = 0, wanted_ = 0, done_ = 0;
    std::mutex lock_;
    std::condition_variable changed_;
};

int Module::poller()
{
    if (poller_ < 0) {
        poller_ = ::epoll_create1(EPOLL_CLOEXEC); // LAB:poller
        Counts::up(Poller);
        epoll_event e{};
        e.events = EPOLLIN;
        e.data.ptr = this;
        ::epoll_ctl(poller_, EPOLL_CTL_ADD, bell(), &e);
    }
    return poller_;
}

int Module::bell()
{
    if (bell_ < 0) {
        bell_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); // LAB:bell
        Counts::up(Bell);
    }
    return bell_;
}

int Module::watch()
{
    if (watch_ < 0) {
        watch_ = ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK); // LAB:watch
        Counts::up(Watch);
        ::inotify_add_watch(watch_, "module.conf", IN_CLOSE_WRITE);
    }
    return watch_;
}

char *Module::arena()
{
    if (!arena_) {
        void *at = ::mmap(nullptr, 256 * 1024, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); // LAB:arena
        Counts::up(Arena);
        arena_ = static_cast<char *>(at);
        std::memset(arena_, 0x11, 256 * 1024);
    }
    return arena_;
}

void Module::serve()
{
    std::unique_lock hold(lock_);
    for (;;) {
        changed_.wait(hold, [this] { return wanted_ != done_; });
        done_ = wanted_;
        changed_.notify_all();
    }
}

void Module::worker()
{
    if (!works_) {
        std::thread thread(&Module::serve, this); // LAB:worker
        Counts::up(Worker);
        thread.detach();
        works_ = true;
    }
    std::unique_lock hold(lock_);
    wanted_++;
    changed_.notify_all();
    changed_.wait(hold, [this] { return done_ == wanted_; });
}

bool Module::config() const
{
    int fd = ::open("module.conf", O_RDONLY | O_CLOEXEC); // LAB:config
    if (fd < 0) return false;
    Counts::up(Config);
    char line[32];
    bool good = ::read(fd, line, sizeof line) > 0;
    ::close(fd);
    Counts::down(Config);
    return good;
}

int Module::call(unsigned argument)
{
    char *scratch = new char[32 * 1024]; // LAB:scratch
    Counts::up(Scratch);
    std::memset(scratch, static_cast<int>(argument), 32 * 1024);
    std::uint64_t one = 1, seen = 0;
    epoll_event ready;
    int result = ::epoll_wait(poller(), &ready, 1, 0);
    if (::write(bell(), &one, sizeof one) < 0 || ::read(bell(), &seen, sizeof seen) < 0) std::perror("bell");
    result += arena()[argument % (256 * 1024)] + scratch[argument % 1000];
    if (argument % 4 == 1) worker();
    if (argument % 2 == 0 && ::read(watch(), scratch, 4096) > 0) result++;
    if (calls_++ % 10 == 0 && !config()) result = -1;
    delete[] scratch;
    Counts::down(Scratch);
    return result;
}

int main(int, char **argv)
{
    auto modules = std::make_unique<std::array<Module, 64>>();
    std::FILE *conf = std::fopen("module.conf", "we");
    if (!conf) return 1;
    std::fputs("level = 3\n", conf);
    std::fclose(conf);
    std::seed_seq seed{std::stoi(argv[1]), 2, 3};
    std::mt19937 random(seed);
    std::uniform_real_distribution<double> uniform(1e-6, 1);
    char word[8];
    std::puts("START");
    std::fflush(stdout);
    if (!std::fgets(word, sizeof word, stdin)) return 1;
    long sum = 0;
    for (int call = 0; call < 5200; call++) {
        auto number = static_cast<unsigned>(std::pow(uniform(random), -0.9)) - 1;
        if (number < 64) sum += (*modules)[number].call(number);
        std::this_thread::sleep_for(std::chrono::microseconds(2000 + random() % 1800));
    }
    std::fprintf(stderr, "%ld\n", sum);
    std::puts("DONE");
    Counts::print();
    std::fflush(stdout);
    if (!std::fgets(word, sizeof word, stdin)) word[0] = 0;
    std::_Exit(0);
}
