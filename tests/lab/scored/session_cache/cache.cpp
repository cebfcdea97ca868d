// A cache of sessions in the manner of a web farm: keys come by a Zipf law, entries live for a lognormal time.
#include <arpa/inet.h>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <deque>
#include <fcntl.h>
#include <list>
#include <map>
#include <random>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <unordered_map>

using Milliseconds = std::chrono::duration<double, std::milli>;
static double now()
{
    static const auto zero = std::chrono::steady_clock::now();
    return Milliseconds(std::chrono::steady_clock::now() - zero).count();
}

struct Ledger {
    long acquired = 0, live = 0, bytes = 0;
    void in(long size = 0) { acquired++, live++, bytes += size; }
    void out(long size = 0) { live--, bytes -= size; }
};
static std::map<std::string, Ledger> ledgers;
static Ledger &entries = ledgers["entry"], &copies = ledgers["copy"], &spills = ledgers["spill"], &logs = ledgers["log"],
              &lookups = ledgers["lookup"];

struct Entry {
    unsigned key;
    double until;
    unsigned size;
    Ledger *by;
    int spilled;
    char *value;
};

class Cache {
public:
    explicit Cache(unsigned most) : most_(most) {}
    Entry *find(unsigned key);
    void insert(unsigned key, unsigned size, double until);
    void expire();
    void compact();
    std::size_t size() const { return order_.size(); }

private:
    static int spill(unsigned key);
    static void release(Entry &e);
    void erase(std::list<Entry>::iterator it)
    {
        index_.erase(it->key);
        release(*it);
        order_.erase(it);
    }
    unsigned most_;
    std::list<Entry> order_;
    std::unordered_map<unsigned, std::list<Entry>::iterator> index_;
};

int Cache::spill(unsigned key)
{
    const std::string path = "spill." + std::to_string(key % 1000);
    int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600); // LAB:spill
    if (fd >= 0) spills.in();
    return fd;
}

void Cache::release(Entry &e)
{
    e.by->out(e.size);
    delete[] e.value;
    if (e.spilled >= 0) {
        ::close(e.spilled);
        spills.out();
    }
}

Entry *Cache::find(unsigned key)
{
    auto it = index_.find(key);
    if (it == index_.end()) return nullptr;
    order_.splice(order_.begin(), order_, it->second);
    return &order_.front();
}

void Cache::insert(unsigned key, unsigned size, double until)
{
    char *value = new char[size]; // LAB:entry
    entries.in(size);
    std::memset(value, 's', size);
    order_.push_front({key, until, size, &entries, size > 12000 ? spill(key) : -1, value});
    index_[key] = order_.begin();
    if (order_.size() > most_) erase(std::prev(order_.end()));
}

void Cache::expire()
{
    for (auto it = order_.begin(); it != order_.end();) {
        auto one = it++;
        if (one->until <= now()) erase(one);
    }
}

void Cache::compact()
{
    std::deque<std::pair<Entry *, char *>> fresh;
    for (Entry &e : order_) {
        fresh.emplace_back(&e, new char[e.size]); // LAB:copy
        copies.in(e.size);
        std::memcpy(fresh.back().second, e.value, e.size);
    }
    for (auto &[entry, value] : fresh) {
        entry->by->out(entry->size);
        delete[] entry->value;
        entry->value = value;
        entry->by = &copies;
    }
}

class RotatingLog {
public:
    void rotate()
    {
        int fd = ::open(("log." + std::to_string(serial_++)).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600); // LAB:log
        logs.in();
        open_.push_back(fd);
        if (open_.size() > 3) {
            ::close(open_.front());
            open_.pop_front();
            logs.out();
        }
    }
    void line(const std::string &text)
    {
        if (lines_++ % 250 == 0) rotate();
        if (::write(open_.back(), text.data(), text.size()) < 0) std::perror("log");
    }

private:
    std::deque<int> open_;
    unsigned serial_ = 0, lines_ = 0;
};

/** Asks other caches for what this one lacks. Answers come late, or not at all. */
class Peers {
public:
    Peers()
    {
        socket_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        at_.sin_family = AF_INET;
        at_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof at_;
        ::bind(socket_, reinterpret_cast<sockaddr *>(&at_), size);
        ::getsockname(socket_, reinterpret_cast<sockaddr *>(&at_), &size);
    }
    void ask(unsigned key)
    {
        int s = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); // LAB:lookup
        lookups.in();
        ::sendto(s, &key, sizeof key, 0, reinterpret_cast<sockaddr *>(&at_), sizeof at_);
        asked_.emplace_back(now(), s);
    }
    void hear()
    {
        unsigned key;
        sockaddr_in from{};
        socklen_t size = sizeof from;
        while (::recvfrom(socket_, &key, sizeof key, 0, reinterpret_cast<sockaddr *>(&from), &size) > 0)
            if (key % 5) ::sendto(socket_, &key, sizeof key, 0, reinterpret_cast<sockaddr *>(&from), size);
        std::erase_if(asked_, [](auto &one) {
            unsigned answer;
            if (::recv(one.second, &answer, sizeof answer, 0) < 0 && now() - one.first < 100) return false;
            ::close(one.second);
            lookups.out();
            return true;
        });
    }

private:
    int socket_;
    sockaddr_in at_{};
    std::deque<std::pair<double, int>> asked_;
};

static void farm(unsigned seed, Peers &peers)
{
    std::default_random_engine random(seed * 16807 + 5);
    std::lognormal_distribution<double> stay(6.8, 1.0);
    std::uniform_real_distribution<double> uniform;
    Cache cache(900);
    RotatingLog log;
    double compacted = now();
    for (const double end = now() + 16500; now() < end;) {
        // more and more of the keys are asked for as the day goes on
        double reach = 300 + 4000 * (1 - (end - now()) / 16500);
        auto key = static_cast<unsigned>(std::pow(reach, uniform(random)));
        if (!cache.find(key)) {
            peers.ask(key);
            cache.insert(key, 1000 + static_cast<unsigned>(14000 * uniform(random) * uniform(random)), now() + stay(random));
        }
        log.line("session " + std::to_string(key) + "\n");
        peers.hear();
        cache.expire();
        if (now() - compacted > 1200) {
            cache.compact();
            compacted = now();
        }
        ::usleep(2000 + static_cast<useconds_t>(2000 * uniform(random)));
    }
    for (int n = 0; n < 60; n++) {
        peers.hear();
        ::usleep(5000);
    }
    std::puts("DONE");
    for (const auto &[site, l] : ledgers) {
        std::printf("{\"site\": \"%s\", \"acquired\": %ld, \"live\": %ld, \"leaked\": 0", site.c_str(), l.acquired, l.live);
        if (l.bytes || &l == &entries || &l == &copies) std::printf(", \"bytes\": %ld", l.bytes);
        std::puts("}");
    }
    std::fflush(stdout);
    std::getchar();
    std::_Exit(0);
}

int main(int, char **argv)
{
    Peers peers;
    std::puts("START");
    std::fflush(stdout);
    while (std::getchar() != '\n') {}
    farm(static_cast<unsigned>(std::stoul(argv[1])), peers);
}
