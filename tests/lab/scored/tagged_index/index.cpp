// An index of words: a trie of nodes with sixteen children. A pointer says in its low bits how many children its node
// has, and a posting's pointer says in its high bits which version it is.
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <iostream>
#include <random>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

struct Amount {
    long acquired = 0, live = 0;
    void more() { acquired++, live++; }
    void fewer() { live--; }
};
static Amount nodes, postings, volumes, queries;

struct alignas(16) Posting {
    std::uint32_t documents = 0, words[700]{};
};

struct Node;

/** A pointer to a node, with a number below 16. */
class Child {
public:
    Child() = default;
    Child(Node *node, unsigned count) : bits_(reinterpret_cast<std::uintptr_t>(node) | count) {}
    Node *node() const { return reinterpret_cast<Node *>(bits_ & ~std::uintptr_t{15}); }
    unsigned count() const { return bits_ & 15; }
    explicit operator bool() const { return bits_ != 0; }
    void count_up() { bits_ += count() < 15; }

private:
    std::uintptr_t bits_ = 0;
};

/** A pointer to a posting, with a version of 16 bits. */
class Versioned {
public:
    Posting *posting() const { return reinterpret_cast<Posting *>(static_cast<std::intptr_t>(bits_ << 16) >> 16); }
    unsigned version() const { return static_cast<unsigned>(bits_ >> 48); }
    void set(Posting *posting, unsigned version)
    {
        bits_ = (reinterpret_cast<std::uintptr_t>(posting) & 0xffff'ffff'ffffu) | std::uintptr_t{version & 0xffff} << 48;
    }

private:
    std::uintptr_t bits_ = 0;
};

struct alignas(16) Node {
    std::array<Child, 16> children;
    Versioned value;
    char label[900];
};

class Trie {
public:
    Trie() : root_(make_node(0), 0) {}
    void add(std::uint32_t word, std::uint32_t document)
    {
        Versioned &value = walk(word)->value;
        Posting *old = value.posting();
        if (old && old->documents < 700 && document % 4) {
            old->words[old->documents++] = document;
            return;
        }
        Posting *fresh = make_posting();
        if (old) std::memcpy(fresh->words, old->words, sizeof fresh->words / 2);
        fresh->words[fresh->documents++] = document;
        value.set(fresh, value.version() + 1);
        if (old) {
            delete old;
            postings.fewer();
        }
    }
    std::uint32_t find(std::uint32_t word)
    {
        const Posting *found = walk(word)->value.posting();
        return found ? found->words[0] : 0;
    }

private:
    static Node *make_node(unsigned depth)
    {
        Node *node = new Node(); // LAB:node
        nodes.more();
        std::memset(node->label, static_cast<int>('a' + depth), sizeof node->label);
        return node;
    }
    static Posting *make_posting()
    {
        Posting *posting = new Posting; // LAB:posting
        postings.more();
        return posting;
    }
    Node *walk(std::uint32_t word)
    {
        Child *at = &root_;
        for (unsigned depth = 1; depth <= 4; depth++, word >>= 4) {
            Child &next = at->node()->children[word & 15];
            if (!next) {
                next = Child(make_node(depth), 0);
                at->count_up();
            }
            at = &next;
        }
        return at->node();
    }
    Child root_;
};

class Volumes {
public:
    int of(std::uint32_t document)
    {
        int &fd = open_[document % open_.size()];
        if (fd <= 0) {
            fd = ::open(("volume." + std::to_string(document % open_.size())).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600); // LAB:volume
            volumes.more();
        }
        return fd;
    }

private:
    std::array<int, 90> open_{};
};

static void log_query(std::uint32_t word, std::uint32_t found)
{
    std::ofstream log("queries", std::ios::app); // LAB:query_log
    queries.more();
    log << word << ' ' << found << '\n';
    log.close();
    queries.fewer();
}

static void run(std::uint32_t seed)
{
    std::mt19937 random(seed);
    std::geometric_distribution<std::uint32_t> rank(0.0012);
    Trie trie;
    Volumes all;
    const auto begin = std::chrono::steady_clock::now();
    for (std::uint32_t document = 1; document <= 3200; document++) {
        for (int n = 0; n < 6; n++) trie.add(rank(random) * 2654435761u >> 16, document);
        if (rank(random) < 700 && ::pwrite(all.of(rank(random) / 8), &document, sizeof document, 0) < 0) std::perror("volume");
        if (document % 3 == 0) log_query(document, trie.find(rank(random) * 2654435761u >> 16));
        std::this_thread::sleep_until(begin + std::chrono::microseconds(5000) * document);
    }
    std::puts("DONE");
    const auto row = [](const char *site, const Amount &amount, std::size_t unit) {
        std::printf("{\"site\": \"%s\", \"acquired\": %ld, \"live\": %ld, \"leaked\": 0", site, amount.acquired, amount.live);
        if (unit) std::printf(", \"bytes\": %zu", static_cast<std::size_t>(amount.live) * unit);
        std::puts("}");
    };
    row("node", nodes, sizeof(Node));
    row("posting", postings, sizeof(Posting));
    row("volume", volumes, 0);
    row("query_log", queries, 0);
    std::fflush(stdout);
    std::string line;
    std::getline(std::cin, line);
    std::_Exit(0);
}

int main(int argc, char **argv)
{
    std::string line;
    std::cout << "START" << std::endl;
    if (!std::getline(std::cin, line)) return 1;
    run(argc > 1 ? static_cast<std::uint32_t>(std::stoul(argv[1])) : 1);
}
