// Thumbnails of generated pictures, by a pool of decoders.
#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <iostream>
#include <list>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <thread>
#include <unordered_map>
#include <vector>

namespace {

struct Books {
    const char *site;
    long acquired = 0, live = 0, leaked = 0, each = 0;
    void in() { ++acquired, ++live; }
    void out() { --live; }
    void print() const {
        std::cout << "{\"site\": \"" << site << "\", \"acquired\": " << acquired << ", \"live\": " << live << ", \"leaked\": " << leaked;
        if (each) std::cout << ", \"bytes\": " << live * each;
        std::cout << "}\n";
    }
};
constexpr long kPixels = 384 << 10, kTile = 128 << 10;
Books pixels{"pixels", 0, 0, 0, kPixels}, watchdogs{"watchdog"}, tiles{"tile", 0, 0, 0, kTile}, scalers{"scaler"}, notifies{"notify"};

struct Broken : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class Picture {
public:
    // The caller owns what is returned; a broken picture is found out after the pixels were allocated.
    static unsigned char *decode(unsigned id, bool broken) {
        auto *out = new unsigned char[kPixels];  // LAB:pixels
        pixels.in();
        std::memset(out, static_cast<int>(id), kPixels);
        if (broken) {
            ++pixels.leaked;
            throw Broken("unexpected end of picture");
        }
        return out;
    }
};

class Decoder {
public:
    Decoder() : wake_(eventfd(0, EFD_CLOEXEC)) {  // LAB:notify
        notifies.in();
    }
    ~Decoder() {
        close(wake_);
        notifies.out();
    }
    Decoder(const Decoder &) = delete;

    struct Job {
        std::mutex guard;
        std::condition_variable done;
        bool finished = false;
    };

    std::thread start_watchdog(const std::shared_ptr<Job> &job) {
        watchdogs.in();
        return std::thread([job] {  // LAB:watchdog
            std::unique_lock lock(job->guard);
            job->done.wait(lock, [&] { return job->finished; });
        });
    }

    unsigned work(unsigned id, bool broken) {
        auto job = std::make_shared<Job>();
        std::thread watchdog = start_watchdog(job);
        unsigned char *data;
        try {
            data = Picture::decode(id, broken);
        } catch (const Broken &) {
            watchdog.detach();
            ++watchdogs.leaked;
            throw;
        }
        unsigned sum = 0;
        for (long at = 0; at < kPixels; at += 4096) sum += data[at];
        delete[] data;
        pixels.out();
        {
            std::lock_guard lock(job->guard);
            job->finished = true;
        }
        job->done.notify_all();
        watchdog.join();
        watchdogs.out();
        return sum;
    }

private:
    int wake_;
};

class TileCache {
public:
    unsigned char *load(unsigned key) {
        if (auto known = where_.find(key); known != where_.end()) {
            order_.splice(order_.begin(), order_, known->second);
            return known->second->second.get();
        }
        if (order_.size() == 64) {
            where_.erase(order_.back().first);
            order_.pop_back();
            tiles.out();
        }
        order_.emplace_front(key, std::unique_ptr<unsigned char[]>(new unsigned char[kTile]));  // LAB:tile
        tiles.in();
        std::memset(order_.front().second.get(), 1, kTile);
        where_[key] = order_.begin();
        return order_.front().second.get();
    }

private:
    using Entry = std::pair<unsigned, std::unique_ptr<unsigned char[]>>;
    std::list<Entry> order_;
    std::unordered_map<unsigned, std::list<Entry>::iterator> where_;
};

unsigned scale(unsigned width) {
    unsigned result = 0;
    scalers.in();
    std::thread worker([&] { for (unsigned i = 0; i < width; ++i) result += i * i; });  // LAB:scaler
    worker.join();
    scalers.out();
    return result;
}

}  // namespace

int main(int argc, char **argv) {
    std::mt19937 dice(argc > 1 ? std::stoul(argv[1]) * 2654435761u : 1u);
    std::vector<std::unique_ptr<Decoder>> pool;
    TileCache cache;
    std::string line;
    std::cout << "START" << std::endl;
    std::getline(std::cin, line);
    volatile unsigned kept = 0;
    for (unsigned id = 0; id < 2600; ++id) {
        if (pool.size() < 6 && id % 40 == 0) pool.push_back(std::make_unique<Decoder>());
        if (dice() % 30 == 0) {
            Decoder once;
            kept = kept + 1;
        }
        kept = kept + *cache.load(dice() % 2 ? dice() % 30 : dice() % 300);
        if (dice() % 4 == 0) kept = kept + scale(1000);
        try {
            kept = kept + pool[dice() % pool.size()]->work(id, dice() % 25 == 0);
        } catch (const Broken &) {
        }
        std::this_thread::sleep_for(std::chrono::microseconds(3000 + dice() % 2000));
    }
    std::cout << "DONE\n";
    for (const Books *one : {&pixels, &watchdogs, &tiles, &scalers, &notifies}) one->print();
    std::cout << std::flush;
    std::getline(std::cin, line);
    std::_Exit(0);  // the forgotten watchdogs still wait
}
