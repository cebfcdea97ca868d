// Snapshots of volumes on request; beside it a keeper that looks after the directory once in a while.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <deque>
#include <fcntl.h>
#include <fstream>
#include <functional>
#include <future>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <thread>
#include <unistd.h>

using namespace std::chrono_literals;

constexpr std::size_t BlockBytes = 1 << 20;

struct Site {
    std::string_view name;
    std::atomic<long> acquired{0}, live{0}, leaked{0};
    long unit = 0;
    void begin() { ++acquired, ++live; }
    void end() { --live; }
    explicit Site(std::string_view n, long bytes = 0) : name(n), unit(bytes) {}
};

static Site renewals("renewal"), watches("watch"), blocks("block", BlockBytes), locks("lock"), copies("copy");

static std::ostream &operator<<(std::ostream &out, const Site &site)
{
    out << "{\"site\": \"" << site.name << "\", \"acquired\": " << site.acquired << ", \"live\": " << site.live
        << ", \"leaked\": " << site.leaked;
    if (site.unit) out << ", \"bytes\": " << site.live * site.unit;
    return out << '}';
}

class Volume {
public:
    explicit Volume(unsigned number) : path_("volume." + std::to_string(number))
    {
        std::ofstream(path_) << number;
        if (::truncate(path_.c_str(), BlockBytes)) std::perror("truncate");
    }
    void snapshot(unsigned serial)
    {
        auto held = lock();
        auto from = block(*held);
        static_cast<unsigned char *>(from.get())[serial % BlockBytes] = 1;
        if (serial % 10 == 0) copy(from.get());
    }

private:
    struct Unlock {
        void operator()(int *fd) const
        {
            ::close(*fd);
            delete fd;
            locks.end();
        }
    };
    using Unmap = std::function<void(void *)>;

    std::unique_ptr<int, Unlock> lock() const
    {
        int fd = ::open(path_.c_str(), O_RDWR | O_CLOEXEC); // LAB:lock
        locks.begin();
        ::flock(fd, LOCK_EX);
        return std::unique_ptr<int, Unlock>(new int(fd));
    }
    static std::unique_ptr<void, Unmap> block(int fd)
    {
        void *at = ::mmap(nullptr, BlockBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0); // LAB:block
        blocks.begin();
        return {at, [](void *p) {
                    ::munmap(p, BlockBytes);
                    blocks.end();
                }};
    }
    static void copy(const void *from)
    {
        auto sum = [from] { return std::hash<std::string_view>()({static_cast<const char *>(from), 65536}); };
        std::future<std::size_t> done = std::async(std::launch::async, sum); // LAB:copy
        copies.begin();
        done.wait();
        done.get();
        copies.end();
    }
    std::string path_;
};

/** Sees to it that volumes which vanish are told of. Works by itself, ten times as often as it drips. */
class Keeper {
public:
    explicit Keeper(unsigned seed) : random_(seed)
    {
        arm(renew());
        look();
    }
    void tick()
    {
        // about one look in ten finds a volume that is being made, and begins anew
        bool again = ++ticks_ >= due_;
        std::uint64_t times;
        if (::read(timer_, &times, sizeof times) < 0) std::perror("keeper");
        if (again) {
            renewals.leaked++;
            watches.leaked++;
            due_ = ticks_ + 6 + random_() % 9;
        } else {
            ::close(timer_);
            renewals.end();
            ::close(watch_);
            watches.end();
        }
        arm(renew());
        look();
    }

private:
    int renew()
    {
        timer_ = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC); // LAB:renewal
        renewals.begin();
        return timer_;
    }
    static void arm(int timer)
    {
        itimerspec in{};
        in.it_value.tv_nsec = 36'000'000;
        ::timerfd_settime(timer, 0, &in, nullptr);
    }
    void look()
    {
        watch_ = ::inotify_init1(IN_CLOEXEC); // LAB:watch
        watches.begin();
        ::inotify_add_watch(watch_, ".", IN_DELETE | IN_MOVED_FROM);
    }
    std::minstd_rand random_;
    unsigned ticks_ = 0, due_ = 5;
    int timer_ = -1, watch_ = -1;
};

class Requests {
public:
    void push(unsigned volume)
    {
        std::lock_guard hold(mutex_);
        waiting_.push_back(volume);
        some_.notify_one();
    }
    unsigned pop()
    {
        std::unique_lock hold(mutex_);
        some_.wait(hold, [this] { return !waiting_.empty(); });
        unsigned volume = waiting_.front();
        waiting_.pop_front();
        return volume;
    }

private:
    std::deque<unsigned> waiting_;
    std::mutex mutex_;
    std::condition_variable some_;
};

int main(int, char **argv)
{
    const auto seed = static_cast<unsigned>(std::stoul(argv[1]));
    std::deque<Volume> volumes;
    for (unsigned n = 0; n < 20; n++) volumes.emplace_back(n);
    std::cout << "START" << std::endl;
    std::cin.get();

    constexpr unsigned Stop = ~0u;
    Requests requests;
    std::thread server([&] {
        unsigned serial = 0;
        for (unsigned volume = requests.pop(); volume != Stop; volume = requests.pop()) volumes[volume].snapshot(serial++);
    });
    std::thread keeping([&] {
        Keeper keeper(seed);
        for (int tick = 0; tick < 440; tick++) keeper.tick();
    });
    std::knuth_b random(seed);
    std::exponential_distribution<double> gap(1 / 6.0);
    for (int n = 0; n < 2500; n++) {
        requests.push(random() % 20);
        std::this_thread::sleep_for(gap(random) * 1ms);
    }
    keeping.join();
    requests.push(Stop);
    server.join();

    std::cout << "DONE\n";
    for (const Site *site : {&renewals, &watches, &blocks, &locks, &copies}) std::cout << *site << '\n';
    std::cout << std::flush;
    std::cin.get();
    return 0;
}
