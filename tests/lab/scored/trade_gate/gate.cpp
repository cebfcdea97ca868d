// A gate for trades: asks a venue for a quote over a datagram socket, books the trade, and settles it on a thread.
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <iostream>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <memory>
#include <poll.h>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

struct Meter {
    const char *name;
    long taken = 0, held = 0, lost = 0;
    long stack = 0;
};
static Meter settles{"settle", 0, 0, 0, 8 << 20}, quotes{"quote"}, looks{"routes"}, deadlines{"deadline"}, blotters{"blotter"};

/** Owns a descriptor, and counts it off. */
class Fd {
public:
    Fd(int fd, Meter &meter) : fd_(fd), meter_(&meter)
    {
        if (fd < 0) throw std::runtime_error(meter.name);
        meter.taken++, meter.held++;
    }
    Fd(Fd &&other) noexcept : fd_(std::exchange(other.fd_, -1)), meter_(other.meter_) {}
    Fd &operator=(Fd &&) = delete;
    ~Fd()
    {
        if (fd_ < 0) return;
        ::close(fd_);
        meter_->held--;
    }
    int get() const { return fd_; }
    int release() { return std::exchange(fd_, -1); }

private:
    int fd_;
    Meter *meter_;
};

class Chance {
public:
    explicit Chance(std::uint64_t seed) : s_{seed * 0x9e3779b97f4a7c15u | 1, 0xda3e39cb94b95bdbu} {}
    unsigned of(unsigned n)
    {
        // xoroshiro128+
        std::uint64_t a = s_[0], b = s_[1], sum = a + b;
        b ^= a;
        s_[0] = (a << 24 | a >> 40) ^ b ^ b << 16;
        s_[1] = b << 37 | b >> 27;
        return static_cast<unsigned>(sum >> 33) % n;
    }

private:
    std::uint64_t s_[2];
};

class Venue {
public:
    explicit Venue(Chance &chance) : chance_(chance) {}
    int routes()
    {
        int fd = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE); // LAB:routes
        if (fd < 0) return -1;
        looks.taken++, looks.held++;
        struct { nlmsghdr head; rtmsg body; } ask{};
        ask.head.nlmsg_len = sizeof ask;
        // an odd look asks for what there is not
        ask.head.nlmsg_type = chance_.of(11) ? RTM_GETROUTE : RTM_GETROUTE + 1000;
        ask.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
        alignas(nlmsghdr) char answer[8192];
        if (::send(fd, &ask, sizeof ask, 0) < 0) return -1;
        ssize_t got = ::recv(fd, answer, sizeof answer, 0);
        const auto *first = reinterpret_cast<nlmsghdr *>(answer);
        if (got < static_cast<ssize_t>(sizeof *first) || first->nlmsg_type == NLMSG_ERROR) {
            looks.lost++;
            return -1;
        }
        ::close(fd);
        looks.held--;
        return static_cast<int>(got);
    }

private:
    Chance &chance_;
};

class Desk {
public:
    Desk(std::uint64_t seed, const sockaddr_un &venue) : chance_(seed), venue_(chance_), at_(venue) {}
    void trade(unsigned number);

private:
    Fd quote()
    {
        Fd s(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), quotes); // LAB:quote
        sockaddr_un own{};
        own.sun_family = AF_UNIX; // a name is given by the kernel
        if (::bind(s.get(), reinterpret_cast<sockaddr *>(&own), sizeof own.sun_family)) throw std::runtime_error("bind");
        return s;
    }
    Fd deadline(long ms)
    {
        Fd t(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), deadlines); // LAB:deadline
        itimerspec in{};
        in.it_value.tv_nsec = ms * 1'000'000;
        ::timerfd_settime(t.get(), 0, &in, nullptr);
        return t;
    }
    void blotter(unsigned number, char price)
    {
        Fd f(::open("blotter", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), blotters); // LAB:blotter
        std::string line = std::to_string(number) + " " + std::to_string(price) + "\n";
        if (::write(f.get(), line.data(), line.size()) < 0) std::perror("blotter");
    }
    std::unique_ptr<std::thread> settle(char price)
    {
        auto thread = std::make_unique<std::thread>([this, price] { settled_ += price; }); // LAB:settle
        settles.taken++, settles.held++;
        return thread;
    }
    char ask(bool late);
    Chance chance_;
    Venue venue_;
    sockaddr_un at_;
    std::atomic<long> settled_{0};
    std::vector<std::unique_ptr<std::thread>> rejected_;
    std::vector<int> late_;
};

char Desk::ask(bool late)
{
    Fd s = quote();
    Fd t = deadline(late ? 3 : 900);
    if (::sendto(s.get(), late ? "L" : "q", 1, 0, reinterpret_cast<sockaddr *>(&at_), sizeof at_) < 0) throw std::runtime_error("ask");
    pollfd p[2] = {{s.get(), POLLIN, 0}, {t.get(), POLLIN, 0}};
    ::poll(p, 2, -1);
    char price = 0;
    if (p[0].revents && ::recv(s.get(), &price, 1, 0) == 1) return price;
    // to be asked again when the market is calm
    quotes.lost++;
    late_.push_back(s.release());
    return 0;
}

void Desk::trade(unsigned number)
{
    char price = ask(chance_.of(40) == 0);
    if (number % 4 == 0) venue_.routes();
    if (!price) return;
    auto settlement = settle(price);
    if (chance_.of(40) == 0) {
        settles.lost++;
        rejected_.push_back(std::move(settlement));
        return;
    }
    settlement->join();
    settles.held--;
    blotter(number, price);
}

/** Answers with a price, but not those who are to be late. */
static void venue(int socket)
{
    for (char price = 1;; price = static_cast<char>(price % 100 + 1)) {
        char word;
        sockaddr_un from{};
        socklen_t size = sizeof from;
        if (::recvfrom(socket, &word, 1, 0, reinterpret_cast<sockaddr *>(&from), &size) == 1 && word == 'q')
            ::sendto(socket, &price, 1, 0, reinterpret_cast<sockaddr *>(&from), size);
    }
}

int main(int argc, char **argv)
{
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::strcpy(at.sun_path, "venue.sock");
    int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (::bind(socket, reinterpret_cast<sockaddr *>(&at), sizeof at)) return 1;
    std::thread(venue, socket).detach();
    auto *desk = new Desk(argc > 1 ? std::stoull(argv[1]) : 1, at);
    std::cout << "START\n" << std::flush;
    std::string line;
    std::getline(std::cin, line);
    Chance pace(99);
    for (unsigned number = 0; number < 2800; number++) {
        try {
            desk->trade(number);
        } catch (const std::runtime_error &error) {
            std::cerr << error.what() << ": " << std::strerror(errno) << '\n';
        }
        std::this_thread::sleep_for(std::chrono::microseconds(4200 + pace.of(2000)));
    }
    std::puts("DONE");
    for (const Meter *m : {&settles, &quotes, &looks, &deadlines, &blotters}) {
        std::printf("{\"site\": \"%s\", \"acquired\": %ld, \"live\": %ld, \"leaked\": %ld", m->name, m->taken, m->held, m->lost);
        if (m->stack) std::printf(", \"bytes\": %ld", m->held * m->stack);
        std::printf("}\n");
    }
    std::fflush(stdout);
    std::getline(std::cin, line);
    std::_Exit(0);
}
