// A printer of receipts at a counter. Tills are threads that send an order over a Unix socket and wait for "printed".
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <random>
#include <string>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

constexpr std::size_t PictureBytes = 60'000, RollBytes = 512 * 1024;
constexpr int Tills = 3, Orders = 210;

struct Stock {
    std::atomic<long> acquired{0}, live{0}, leaked{0};
    Stock &operator++()
    {
        acquired++, live++;
        return *this;
    }
    Stock &operator--()
    {
        live--;
        return *this;
    }
};
Stock copy, picture, order, roll, till;

struct Receipt {
    std::string text;
    char *picture = nullptr;
    int copy = -1;
};

class Printer {
public:
    ~Printer() { drop_roll(); }
    bool print(const std::string &text, unsigned number)
    {
        auto receipt = std::make_unique<Receipt>();
        receipt->text = text;
        draw(*receipt);
        open_copy(*receipt, number);
        if (receipt->copy < 0 || ::write(receipt->copy, text.data(), text.size()) < 0) return false;
        feed(*receipt);
        // a Receipt is a plain struct: what it points to goes with the process
        copy.leaked++;
        picture.leaked++;
        return true;
    }
    void drop_roll()
    {
        if (!roll_) return;
        ::munmap(roll_, RollBytes);
        roll_ = nullptr;
        --roll;
    }

private:
    static void draw(Receipt &receipt)
    {
        receipt.picture = static_cast<char *>(std::malloc(PictureBytes)); // LAB:picture
        ++picture;
        std::memset(receipt.picture, receipt.text.front(), PictureBytes);
    }
    static void open_copy(Receipt &receipt, unsigned number)
    {
        const std::string path = "copy." + std::to_string(number);
        receipt.copy = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600); // LAB:copy
        if (receipt.copy >= 0) ++copy;
    }
    void feed(const Receipt &receipt)
    {
        if (printed_++ % 20 == 0) {
            drop_roll();
            void *at = ::mmap(nullptr, RollBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); // LAB:roll
            if (at == MAP_FAILED) std::abort();
            ++roll;
            roll_ = static_cast<char *>(at);
            std::memset(roll_, ' ', RollBytes);
        }
        std::memcpy(roll_ + printed_ % 20 * 1024, receipt.picture, 1024);
    }
    char *roll_ = nullptr;
    unsigned printed_ = 0;
};

class Counter {
public:
    Counter() : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))
    {
        at_.sun_family = AF_UNIX;
        std::strcpy(at_.sun_path, "counter.sock");
        if (::bind(socket_, address(), sizeof at_) || ::listen(socket_, 16)) std::abort();
    }
    const sockaddr *address() const { return reinterpret_cast<const sockaddr *>(&at_); }
    void serve(Printer &printer, unsigned orders)
    {
        for (unsigned number = 0; number < orders; number++) {
            std::array<char, 64> words{};
            int customer = accept_order();
            ssize_t length = ::recv(customer, words.data(), words.size(), 0);
            bool done = length > 0 && printer.print(std::string(words.data(), static_cast<std::size_t>(length)), number);
            if (::send(customer, done ? "printed" : "refused", 7, MSG_NOSIGNAL) < 0) std::perror("till");
            ::close(customer);
            --order;
        }
    }

private:
    int accept_order()
    {
        int customer = ::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC); // LAB:order
        if (customer < 0) std::abort();
        ++order;
        return customer;
    }
    int socket_;
    sockaddr_un at_{};
};

class Till {
public:
    Till(const Counter &counter, unsigned seed) : counter_(counter), random_(seed) {}
    void run()
    {
        for (int n = 0; n < Orders; n++) {
            int counter = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0); // LAB:till
            ++till;
            std::string words = "order of " + std::to_string(1 + random_() % 90) + " cents";
            char answer[8];
            if (::connect(counter, counter_.address(), sizeof(sockaddr_un)) || ::send(counter, words.data(), words.size(), MSG_NOSIGNAL) < 0 ||
                ::recv(counter, answer, sizeof answer, 0) != 7)
                std::perror("counter");
            ::close(counter);
            --till;
            // customers come as they like: mostly soon, sometimes after a while
            std::this_thread::sleep_for(std::chrono::milliseconds(30 + (random_() % 5 ? random_() % 60 : 80 + random_() % 60)));
        }
    }

private:
    const Counter &counter_;
    std::minstd_rand0 random_;
};

void account(const char *name, const Stock &stock, std::size_t unit)
{
    std::printf("{\"site\": \"%s\", \"acquired\": %ld, \"live\": %ld, \"leaked\": %ld", name, stock.acquired.load(), stock.live.load(),
                stock.leaked.load());
    std::printf(unit ? ", \"bytes\": %ld}\n" : "}\n", stock.live.load() * static_cast<long>(unit));
}

} // namespace

int main(int argc, char **argv)
{
    Counter counter;
    Printer printer;
    const unsigned seed = argc > 1 ? static_cast<unsigned>(std::stoul(argv[1])) : 1;
    char line[16];
    std::puts("START");
    std::fflush(stdout);
    if (!std::fgets(line, sizeof line, stdin)) return 1;
    std::vector<std::thread> tills;
    for (unsigned n = 0; n < Tills; n++) tills.emplace_back([&counter, seed, n] { Till(counter, seed * 97 + n).run(); });
    counter.serve(printer, Tills * Orders);
    for (auto &one : tills) one.join();
    std::puts("DONE");
    account("copy", copy, 0);
    account("picture", picture, PictureBytes);
    account("order", order, 0);
    account("roll", roll, RollBytes);
    account("till", till, 0);
    std::fflush(stdout);
    if (!std::fgets(line, sizeof line, stdin)) line[0] = 0;
    return 0;
}
