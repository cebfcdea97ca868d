// A push gateway: devices connect, say hello and are silent for long. A connection lives in the pointer of its epoll data
// alone; times of stay are lognormal. Devices are a forked process.
#include <arpa/inet.h>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <fstream>
#include <iostream>
#include <queue>
#include <random>
#include <string>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

using Clock = std::chrono::steady_clock;

template <const char *Name> struct Meter {
    static inline long acquired, live;
    static void up() { acquired++, live++; }
    static void down() { live--; }
    static void print(long unit = 0)
    {
        std::cout << "{\"site\": \"" << Name << "\", \"acquired\": " << acquired << ", \"live\": " << live << ", \"leaked\": 0";
        if (unit) std::cout << ", \"bytes\": " << live * unit;
        std::cout << "}\n";
    }
};
constexpr char kAccept[] = "accept", kState[] = "state", kBell[] = "bell", kConfig[] = "config";
using Accepts = Meter<kAccept>;
using States = Meter<kState>;
using Bells = Meter<kBell>;
using Configs = Meter<kConfig>;

struct Connection {
    int fd, bell;
    char inbox[4000];
};

class Gateway {
public:
    explicit Gateway(int listener) : listener_(listener), poll_(::epoll_create1(EPOLL_CLOEXEC))
    {
        watch(listener_, nullptr);
    }
    void run(Clock::time_point end);

private:
    void watch(int fd, Connection *c)
    {
        epoll_event e{};
        e.events = EPOLLIN;
        e.data.ptr = c;
        ::epoll_ctl(poll_, EPOLL_CTL_ADD, fd, &e);
    }
    void welcome();
    void hear(Connection *c);
    static int greeting();
    int listener_, poll_;
};

int Gateway::greeting()
{
    int fd = ::open("gateway.conf", O_RDONLY | O_CLOEXEC); // LAB:config
    if (fd >= 0) Configs::up();
    return fd;
}

void Gateway::welcome()
{
    int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC); // LAB:accept
    if (fd < 0) return;
    Accepts::up();
    auto *c = new Connection; // LAB:state
    States::up();
    c->fd = fd;
    c->bell = ::eventfd(0, EFD_CLOEXEC); // LAB:bell
    Bells::up();
    int config = greeting();
    if (config >= 0) {
        if (::read(config, c->inbox, 16) < 0) std::perror("config");
        ::close(config);
        Configs::down();
    }
    watch(fd, c);
}

void Gateway::hear(Connection *c)
{
    if (::read(c->fd, c->inbox, sizeof c->inbox) > 0) return;
    ::close(c->fd);
    Accepts::down();
    ::close(c->bell);
    Bells::down();
    delete c;
    States::down();
}

void Gateway::run(Clock::time_point end)
{
    epoll_event events[16];
    while (Clock::now() < end) {
        int n = ::epoll_wait(poll_, events, 16, 20);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                hear(static_cast<Connection *>(events[i].data.ptr));
            else
                welcome();
        }
    }
}

[[noreturn]] static void devices(sockaddr_in at, int gate, unsigned seed)
{
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::mt19937 random(seed);
    std::lognormal_distribution<double> stay(-1.2, 1.1);
    std::exponential_distribution<double> gap(110);
    using Leave = std::pair<Clock::time_point, int>;
    std::priority_queue<Leave, std::vector<Leave>, std::greater<>> staying;
    char go;
    if (::read(gate, &go, 1) != 1) ::_exit(0);
    auto in = [](double s) { return Clock::now() + std::chrono::microseconds(static_cast<long>(s * 1e6)); };
    for (auto next = Clock::now();;) {
        while (!staying.empty() && staying.top().first <= Clock::now()) {
            ::close(staying.top().second);
            staying.pop();
        }
        if (next <= Clock::now()) {
            int s = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            if (::connect(s, reinterpret_cast<sockaddr *>(&at), sizeof at) == 0 && ::write(s, "hello", 5) == 5)
                staying.emplace(in(stay(random)), s);
            else
                ::close(s);
            next = in(gap(random));
        }
        ::usleep(2500);
    }
}

int main(int argc, char *argv[])
{
    std::ofstream("gateway.conf") << "greeting = on\n";
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), gate[2];
    if (::bind(listener, reinterpret_cast<sockaddr *>(&at), size) || ::listen(listener, 128) || ::pipe2(gate, O_CLOEXEC)) return 1;
    ::getsockname(listener, reinterpret_cast<sockaddr *>(&at), &size);
    pid_t child = ::fork();
    if (child == 0) devices(at, gate[0], argc > 1 ? static_cast<unsigned>(std::stoul(argv[1])) : 1);
    Gateway gateway(listener);
    std::string line;
    std::cout << "START" << std::endl;
    if (!std::getline(std::cin, line)) return 1;
    if (::write(gate[1], "g", 1) != 1) return 1;
    gateway.run(Clock::now() + std::chrono::seconds(18));
    std::cout << "DONE\n";
    Accepts::print();
    States::print(sizeof(Connection));
    Bells::print();
    Configs::print();
    std::cout.flush();
    std::getline(std::cin, line);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    return 0;
}
