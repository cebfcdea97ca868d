// Merges addresses into templates; pages go to a printer, which is a thread at a Unix socket.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <dirent.h>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace fs = std::filesystem;

constexpr std::size_t PageBytes = 4096, AddressBytes = 1200;
constexpr int Jobs = 2100, LettersPerJob = 5;

class Census {
public:
    constexpr Census(const char *site, std::size_t unit = 0) : site_(site), unit_(unit) {}
    void enter() { acquired_++, live_++; }
    void leave() { live_--; }
    void stay(long n = 1) { leaked_ += n; }
    void print() const
    {
        std::printf("{\"site\": \"%s\", \"acquired\": %ld, \"live\": %ld, \"leaked\": %ld", site_, acquired_, live_, leaked_);
        if (unit_) std::printf(", \"bytes\": %zu", static_cast<std::size_t>(live_) * unit_);
        std::puts("}");
    }

private:
    const char *site_;
    std::size_t unit_;
    long acquired_ = 0, live_ = 0, leaked_ = 0;
};
static Census pages("page", PageBytes), listings("templates"), printers("printer"), addresses("address", AddressBytes), texts("template_text");

/** A line of the table of addresses. */
struct Address {
    char text[AddressBytes];
    ~Address() { addresses.leave(); }
};

class Addresses {
public:
    std::unique_ptr<Address> next()
    {
        std::unique_ptr<Address> address(new Address); // LAB:address
        addresses.enter();
        std::memset(address->text, '.', AddressBytes);
        std::snprintf(address->text, AddressBytes, "To number %u", number_++);
        return address;
    }

private:
    unsigned number_ = 0;
};

class Letter {
public:
    explicit Letter(std::unique_ptr<Address> to) : to_(std::move(to)) {}
    void add_page(const std::string &text)
    {
        char *page = new char[PageBytes]; // LAB:page
        pages.enter();
        std::memset(page, ' ', PageBytes);
        std::memcpy(page, to_->text, 64);
        std::memcpy(page + 64, text.data(), std::min(text.size(), PageBytes - 64));
        pages_.push_back(page);
    }
    /** Gives the pages back, unless they are proofs: who asked for proofs deletes them. */
    void done(bool proofs)
    {
        if (proofs) {
            pages.stay(static_cast<long>(pages_.size()));
            return;
        }
        for (char *page : pages_) {
            delete[] page;
            pages.leave();
        }
    }
    const std::vector<char *> &all() const { return pages_; }

private:
    std::unique_ptr<Address> to_;
    std::vector<char *> pages_;
};

class Templates {
public:
    explicit Templates(fs::path place) : place_(std::move(place)) {}
    std::vector<std::string> list(bool strict) const
    {
        std::vector<std::string> names;
        DIR *dir = ::opendir(place_.c_str()); // LAB:templates
        if (!dir) throw std::runtime_error("no templates");
        listings.enter();
        while (const dirent *entry = ::readdir(dir)) {
            const std::string name = entry->d_name;
            if (name.ends_with(".tmp") && strict) {
                listings.stay();
                throw std::runtime_error(name + " is being written");
            }
            if (name.ends_with(".txt")) names.push_back(name);
        }
        ::closedir(dir);
        listings.leave();
        return names;
    }
    std::string read(const std::string &name) const
    {
        const auto close = [](std::FILE *f) {
            std::fclose(f);
            texts.leave();
        };
        std::unique_ptr<std::FILE, decltype(close)> file(std::fopen((place_ / name).c_str(), "re"), close); // LAB:template_text
        if (!file) throw std::runtime_error(name);
        texts.enter();
        std::string text(200, '\0');
        text.resize(std::fread(text.data(), 1, text.size(), file.get()));
        return text;
    }

private:
    fs::path place_;
};

/** Talks with the printer: a job is a connection, a page is a message. */
class Press {
public:
    explicit Press(const char *path)
    {
        at_.sun_family = AF_UNIX;
        std::strncpy(at_.sun_path, path, sizeof at_.sun_path - 1);
    }
    int connect() const
    {
        int s = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0); // LAB:printer
        if (s < 0 || ::connect(s, reinterpret_cast<const sockaddr *>(&at_), sizeof at_)) throw std::runtime_error("no printer");
        printers.enter();
        return s;
    }
    bool print(const std::vector<Letter> &letters, bool hurry) const
    {
        int s = connect();
        char answer = 0;
        for (const Letter &letter : letters)
            for (const char *page : letter.all())
                if (::send(s, page, 256, MSG_NOSIGNAL) != 256) std::perror("page");
        if (::send(s, hurry ? "H" : "E", 1, MSG_NOSIGNAL) != 1 || ::recv(s, &answer, 1, 0) != 1) std::perror("job");
        if (answer == 'b') {
            printers.stay();
            return false;
        }
        ::close(s);
        printers.leave();
        return true;
    }

private:
    sockaddr_un at_{};
};

/** The printer: busy for whoever is in a hurry. A connection that was told so is closed by the printer. */
static void printer(int listener)
{
    for (;;) {
        int s = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        char message[256];
        while (ssize_t n = ::recv(s, message, sizeof message, 0)) {
            if (n < 0) break;
            if (n == 1 && ::send(s, message[0] == 'H' ? "b" : "k", 1, MSG_NOSIGNAL) < 0) break;
            if (n == 1) break;
        }
        ::close(s);
    }
}

static void merge(unsigned seed)
{
    std::mt19937_64 random(seed ^ 0x6d657267);
    const auto one_of = [&random](unsigned n) { return random() % n == 0; };
    const Templates templates("templates");
    const Press press("printer.sock");
    Addresses to;
    for (int job = 0; job < Jobs; job++) {
        try {
            const auto names = templates.list(one_of(32));
            const std::string text = templates.read(names[random() % names.size()]);
            std::vector<Letter> letters;
            for (int n = 0; n < LettersPerJob; n++) {
                letters.emplace_back(to.next());
                for (int page = 0; page < 3; page++) letters.back().add_page(text);
            }
            if (!press.print(letters, one_of(32))) std::cerr << "job " << job << ": busy\n";
            for (Letter &letter : letters) letter.done(one_of(8));
        } catch (const std::runtime_error &error) {
            std::cerr << "job " << job << ": " << error.what() << '\n';
        }
        std::this_thread::sleep_for(std::chrono::microseconds(5500 + random() % 2500));
    }
}

int main(int argc, char **argv)
{
    fs::create_directory("templates");
    for (int n = 0; n < 6; n++) std::ofstream("templates/letter" + std::to_string(n) + ".txt") << "Dear reader,\n" << std::string(100, 'a' + n);
    std::ofstream("templates/letter7.tmp") << "Dear";
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::strcpy(at.sun_path, "printer.sock");
    int listener = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (::bind(listener, reinterpret_cast<sockaddr *>(&at), sizeof at) || ::listen(listener, 8)) return 1;
    std::thread(printer, listener).detach();
    std::string line;
    std::cout << "START" << std::endl;
    std::getline(std::cin, line);
    merge(argc > 1 ? static_cast<unsigned>(std::stoul(argv[1])) : 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    std::puts("DONE");
    for (const Census *census : {&pages, &listings, &printers, &addresses, &texts}) census->print();
    std::fflush(stdout);
    std::getline(std::cin, line);
    std::_Exit(0);
}
