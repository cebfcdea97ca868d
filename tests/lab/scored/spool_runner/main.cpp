// A mail queue: walks its spool, takes a lock for each message, hands it through a pipe to a delivery program of its own
// (a fork) and waits for that. What is deferred stays for a later round.
#include <cstdio>
#include <cstdlib>
#include <dirent.h>
#include <fcntl.h>
#include <optional>
#include <random>
#include <string>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace mail {

struct Ledger { long got = 0, now = 0, lost = 0; };
Ledger locks, pipes, deliveries, spools;

enum class Fate { Delivered, Deferred, Bounced };

class Message {
public:
    explicit Message(std::string path) : path_(std::move(path)) {}
    bool lock()
    {
        lock_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600); // LAB:lock
        if (lock_ < 0) return false;
        locks.got++, locks.now++;
        return ::flock(lock_, LOCK_EX | LOCK_NB) == 0;
    }
    void unlock()
    {
        ::close(lock_);
        locks.now--;
    }
    const std::string &path() const { return path_; }

private:
    std::string path_;
    int lock_ = -1;
};

class Runner {
public:
    explicit Runner(unsigned long seed) : dice_(seed) {}
    std::vector<std::string> scan(const std::string &spool);
    void round(const std::string &spool);
    void refill(const std::string &spool);

private:
    Fate deliver(const Message &message);
    std::optional<pid_t> start(int &to);
    unsigned below(unsigned n) { return static_cast<unsigned>(dice_() % n); }
    std::minstd_rand dice_;
    unsigned serial_ = 0;
};

std::vector<std::string> Runner::scan(const std::string &spool)
{
    std::vector<std::string> found;
    DIR *dir = ::opendir(spool.c_str()); // LAB:scan
    if (!dir) return found;
    spools.got++, spools.now++;
    while (dirent *e = ::readdir(dir))
        if (e->d_name[0] != '.') found.push_back(spool + "/" + e->d_name);
    ::closedir(dir);
    spools.now--;
    return found;
}

std::optional<pid_t> Runner::start(int &to)
{
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC)) return {}; // LAB:pipe
    pipes.got += 2, pipes.now += 2;
    pid_t child = ::fork(); // LAB:delivery
    if (child == 0) {
        char text[64];
        ::close(ends[1]);
        while (::read(ends[0], text, sizeof text) > 0) {}
        ::_exit(0);
    }
    ::close(ends[0]);
    pipes.now--;
    to = ends[1];
    if (child < 0) return {};
    deliveries.got++, deliveries.now++;
    return child;
}

Fate Runner::deliver(const Message &message)
{
    int to = -1;
    auto child = start(to);
    if (child && ::write(to, message.path().data(), message.path().size()) < 0) std::perror("deliver");
    if (to >= 0) {
        ::close(to);
        pipes.now--;
    }
    if (!child) return Fate::Deferred;
    unsigned fate = below(28);
    if (fate == 0) {
        // the far side has hung up: nothing to ask this delivery about
        deliveries.lost++;
        return Fate::Bounced;
    }
    int status;
    ::waitpid(*child, &status, 0);
    deliveries.now--;
    return fate < 3 ? Fate::Deferred : Fate::Delivered;
}

void Runner::refill(const std::string &spool)
{
    for (unsigned n = 10 + below(20); n > 0; n--) {
        std::string path = spool + "/m" + std::to_string(serial_++);
        if (::mknod(path.c_str(), S_IFREG | 0600, 0)) std::perror("spool");
    }
}

void Runner::round(const std::string &spool)
{
    for (const auto &path : scan(spool)) {
        Message message(path);
        if (!message.lock()) continue;
        Fate fate = deliver(message);
        ::usleep(5000 + below(3000));
        if (fate == Fate::Deferred) {
            locks.lost++;
            ::rename(path.c_str(), "spool_deferred");
            continue;
        }
        ::unlink(path.c_str());
        message.unlock();
    }
}

void tell(const char *site, const Ledger &l)
{
    std::printf("{\"site\": \"%s\", \"acquired\": %ld, \"live\": %ld, \"leaked\": %ld}\n", site, l.got, l.now, l.lost);
}

} // namespace mail

int main(int, char **argv)
{
    const std::string spool = "spool_queue";
    ::mkdir(spool.c_str(), 0700);
    mail::Runner runner(argv[1] ? std::stoul(argv[1]) : 1);
    std::printf("START\n");
    std::fflush(stdout);
    if (std::getchar() == EOF) return 1;
    for (int round = 0; round < 90; round++) {
        runner.refill(spool);
        runner.round(spool);
        ::usleep(10000);
    }
    std::printf("DONE\n");
    tell("lock", mail::locks);
    tell("pipe", mail::pipes);
    tell("delivery", mail::deliveries);
    tell("scan", mail::spools);
    std::fflush(stdout);
    while (int c = std::getchar())
        if (c == '\n' || c == EOF) break;
    return 0;
}
