// Chat rooms: a session is a Unix socket pair with a wake-up and an expiry; rooms deliver what is said. The
// guests join, talk and go away without a word; a session goes when its time is over.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <fcntl.h>
#include <unistd.h>

struct Tally { long acquired = 0, live = 0, leaked = 0; };
static Tally t_socket, t_wake, t_expiry, t_transcript;

class Session {
public:
    Session(int fd, unsigned id) : fd_(fd), id_(id) { wake_ = make_wake(); expiry_ = make_expiry(); }
    ~Session()
    {
        ::close(fd_);
        t_socket.live--;
        ::close(expiry_);
        t_expiry.live--;
        // a session that was muted has given its wake-up to the room, which never gives it back
        if (muted_) {
            t_wake.leaked++;
        } else {
            ::close(wake_);
            t_wake.live--;
        }
    }
    Session(const Session &) = delete;
    Session &operator=(const Session &) = delete;
    void mute() { muted_ = true; }
    void nudge() const { uint64_t one = 1; if (::write(wake_, &one, sizeof one) < 0) std::perror("wake"); }
    int fd() const { return fd_; }
    int expiry() const { return expiry_; }
    unsigned id() const { return id_; }

private:
    static int make_wake()
    {
        int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); // LAB:wake
        t_wake.acquired++, t_wake.live++;
        return fd;
    }
    static int make_expiry()
    {
        int fd = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK); // LAB:expiry
        t_expiry.acquired++, t_expiry.live++;
        itimerspec in{};
        in.it_value.tv_nsec = 400'000'000;
        ::timerfd_settime(fd, 0, &in, nullptr);
        return fd;
    }
    int fd_, wake_ = -1, expiry_ = -1;
    unsigned id_;
    bool muted_ = false;
};

class Hall {
public:
    explicit Hall(unsigned long seed) : random_(seed), poll_(::epoll_create1(EPOLL_CLOEXEC)) {}
    void join();
    void turn();
    void transcript(const std::string &text);
    bool empty() const { return sessions_.empty(); }
    unsigned pick(unsigned n) { return static_cast<unsigned>(random_() % n); }

private:
    std::mt19937_64 random_;
    int poll_;
    unsigned next_ = 0;
    std::map<unsigned, std::unique_ptr<Session>> sessions_;
    std::deque<int> guests_;
};

void Hall::join()
{
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair)) return; // LAB:join
    t_socket.acquired += 2, t_socket.live += 2;
    auto session = std::make_unique<Session>(pair[0], next_++);
    epoll_event talk{}, over{};
    talk.events = over.events = EPOLLIN;
    talk.data.u64 = session->id();
    over.data.u64 = session->id() | 1ull << 32;
    ::epoll_ctl(poll_, EPOLL_CTL_ADD, pair[0], &talk);
    ::epoll_ctl(poll_, EPOLL_CTL_ADD, session->expiry(), &over);
    sessions_.emplace(session->id(), std::move(session));
    if (::write(pair[1], "hello", 5) < 0) std::perror("guest");
    guests_.push_back(pair[1]);
    // a guest stays a while and goes away; its session lives on until it expires
    if (guests_.size() > 30) {
        ::close(guests_.front());
        guests_.pop_front();
        t_socket.live--;
    }
    if (next_ % 100 == 0) transcript("room " + std::to_string(next_));
}

void Hall::turn()
{
    epoll_event events[32];
    int n = ::epoll_wait(poll_, events, 32, 2);
    for (int i = 0; i < n; i++) {
        auto it = sessions_.find(static_cast<unsigned>(events[i].data.u64));
        if (it == sessions_.end()) continue;
        if (events[i].data.u64 >> 32) {
            sessions_.erase(it);
            continue;
        }
        char text[64];
        ssize_t got = ::read(it->second->fd(), text, sizeof text);
        if (got == 0) {
            ::epoll_ctl(poll_, EPOLL_CTL_DEL, it->second->fd(), nullptr);
        } else if (got > 0) {
            it->second->nudge();
            if (pick(30) == 0) it->second->mute();
        }
    }
}

void Hall::transcript(const std::string &text)
{
    int fd = ::open("chat_transcript", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600); // LAB:transcript
    if (fd < 0) return;
    t_transcript.acquired++, t_transcript.live++;
    if (::write(fd, text.data(), text.size()) < 0) std::perror("transcript");
    ::close(fd);
    t_transcript.live--;
}

static void print(const char *site, const Tally &t)
{
    std::printf("{\"site\": \"%s\", \"acquired\": %ld, \"live\": %ld, \"leaked\": %ld}\n", site, t.acquired, t.live, t.leaked);
}

int main(int argc, char **argv)
{
    using clock = std::chrono::steady_clock;
    Hall hall(argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 1);
    char line[32];
    std::puts("START");
    std::fflush(stdout);
    if (!std::fgets(line, sizeof line, stdin)) return 1;
    auto end = clock::now() + std::chrono::seconds(17), next = clock::now();
    for (auto now = next; now < end; now = clock::now()) {
        if (now >= next) {
            hall.join();
            next = now + std::chrono::microseconds(4000 + hall.pick(6000));
        }
        hall.turn();
    }
    std::puts("DONE");
    print("join", t_socket);
    print("wake", t_wake);
    print("expiry", t_expiry);
    print("transcript", t_transcript);
    std::fflush(stdout);
    if (!std::fgets(line, sizeof line, stdin)) return 0;
    ::_exit(0);
}
