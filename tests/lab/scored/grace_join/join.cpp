// Joins two tables of rows: both are split into partitions on disk, then each pair is joined in memory, and what comes
// out is put in order by a sorter process.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>
#include <atomic>

namespace {

constexpr std::size_t TableBytes = 512 * 1024;

struct Use {
    std::atomic<long> acquired{0}, live{0};
    void begin(long n = 1) { acquired += n, live += n; }
    void end(long n = 1) { live -= n; }
};
Use partitions, tables, probers, sorters, pipes;

using Row = std::uint32_t;

class Partition {
public:
    Partition(char side, unsigned number) : path_(std::string("part.") + side + std::to_string(number)) { open(); }
    ~Partition()
    {
        if (table_) {
            ::munmap(table_, TableBytes);
            tables.end();
        }
        if (file_) {
            std::fclose(file_);
            partitions.end();
        }
        std::remove(path_.c_str());
    }
    Partition(const Partition &) = delete;
    Partition &operator=(const Partition &) = delete;

    void add(Row row) { std::fwrite(&row, sizeof row, 1, file_); }
    void build()
    {
        void *at = ::mmap(nullptr, TableBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); // LAB:table
        if (at == MAP_FAILED) std::abort();
        tables.begin();
        table_ = static_cast<Row *>(at);
        std::fill_n(table_, TableBytes / sizeof(Row), 0);
        rewind();
        for (Row row; std::fread(&row, sizeof row, 1, file_) == 1;) table_[slot(row)] = row;
    }
    long probe(Partition &other)
    {
        long found = 0;
        other.rewind();
        for (Row row; std::fread(&row, sizeof row, 1, other.file_) == 1;) found += table_[slot(row)] == row;
        return found;
    }

private:
    void open()
    {
        file_ = std::fopen(path_.c_str(), "w+be"); // LAB:partition
        if (!file_) std::abort();
        partitions.begin();
    }
    void rewind() { std::rewind(file_); }
    static std::size_t slot(Row row) { return row * 2654435761u % (TableBytes / sizeof(Row)); }

    std::string path_;
    std::FILE *file_ = nullptr;
    Row *table_ = nullptr;
};

class Sorter {
public:
    Sorter() { start(); }
    ~Sorter()
    {
        ::close(to_);
        ::close(from_);
        pipes.end(2);
        ::waitpid(child_, nullptr, 0);
        sorters.end();
    }
    long sort(std::vector<long> counts)
    {
        const auto bytes = counts.size() * sizeof(long);
        if (::write(to_, counts.data(), bytes) != static_cast<ssize_t>(bytes)) return -1;
        if (::read(from_, counts.data(), bytes) != static_cast<ssize_t>(bytes)) return -1;
        return counts.back();
    }

private:
    void start()
    {
        int in[2], out[2];
        if (::pipe(in) || ::pipe(out)) std::abort(); // LAB:sorted
        pipes.begin(4);
        child_ = ::fork(); // LAB:sorter
        if (child_ == 0) {
            long counts[256];
            ::close(in[1]);
            ssize_t n = ::read(in[0], counts, sizeof counts);
            std::sort(counts, counts + n / static_cast<ssize_t>(sizeof(long)));
            ::_exit(::write(out[1], counts, static_cast<std::size_t>(n)) != n);
        }
        sorters.begin();
        ::close(in[0]);
        ::close(out[1]);
        pipes.end(2);
        to_ = in[1];
        from_ = out[0];
    }
    pid_t child_ = -1;
    int to_ = -1, from_ = -1;
};

class Join {
public:
    Join(unsigned width, std::subtract_with_carry_engine<std::uint32_t, 24, 10, 24> &random) : random_(random)
    {
        for (unsigned n = 0; n < width; n++) {
            left_.push_back(std::make_unique<Partition>('l', n));
            right_.push_back(std::make_unique<Partition>('r', n));
        }
    }
    void split(unsigned rows)
    {
        for (unsigned n = 0; n < rows; n++) {
            Row row = 1 + random_() % 5000;
            left_[row % left_.size()]->add(row);
            row = 1 + random_() % 5000;
            right_[row % right_.size()]->add(row);
            if (n % 20 == 0) ::usleep(900);
        }
    }
    long probe_all()
    {
        std::vector<long> found(left_.size());
        for (std::size_t first = 0; first < left_.size(); first += 4) {
            std::vector<std::thread> threads;
            for (std::size_t n = first; n < std::min(first + 4, left_.size()); n++) {
                left_[n]->build();
                threads.emplace_back([this, &found, n] { found[n] = left_[n]->probe(*right_[n]); }); // LAB:prober
                probers.begin();
            }
            for (auto &thread : threads) thread.join();
            probers.end(static_cast<long>(threads.size()));
            for (std::size_t n = first; n < std::min(first + 4, left_.size()); n++) {
                left_[n].reset();
                right_[n].reset();
            }
        }
        return Sorter().sort(std::move(found));
    }

private:
    std::subtract_with_carry_engine<std::uint32_t, 24, 10, 24> &random_;
    std::vector<std::unique_ptr<Partition>> left_, right_;
};

void say(const char *site, const Use &use)
{
    std::printf("{\"site\": \"%s\", \"acquired\": %ld, \"live\": %ld, \"leaked\": 0", site, use.acquired.load(), use.live.load());
    if (&use == &tables) std::printf(", \"bytes\": %ld", use.live.load() * static_cast<long>(TableBytes));
    std::printf("}\n");
}

} // namespace

int main(int argc, char **argv)
{
    std::subtract_with_carry_engine<std::uint32_t, 24, 10, 24> random(argc > 1 ? static_cast<unsigned>(std::strtoul(argv[1], nullptr, 10)) : 1);
    std::printf("START\n");
    std::fflush(stdout);
    if (std::getchar() < 0) return 1;
    // the last join has been split and not yet been joined when the night is over
    std::optional<Join> last;
    for (unsigned n = 0; n < 60; n++) {
        const unsigned width = 8 + (n < 40 ? n / 3 : 60 - n) % 14 + random() % 4;
        Join join(width, random);
        join.split(2500 + random() % 2500);
        if (join.probe_all() < 0) return 1;
    }
    last.emplace(8, random);
    last->split(2000);
    std::printf("DONE\n");
    say("partition", partitions);
    say("table", tables);
    say("prober", probers);
    say("sorter", sorters);
    say("sorted", pipes);
    std::fflush(stdout);
    while (std::getchar() > '\n') {}
    return 0;
}
