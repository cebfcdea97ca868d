// Paints tiles for viewers: the wishes of a day come from a generator thread through a bounded queue.
#include "raster.hpp"
#include <chrono>
#include <condition_variable>
#include <fstream>
#include <iostream>
#include <mutex>
#include <queue>
#include <random>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>

struct Wish {
    unsigned tile = 0;
    bool shared = false, viewer_stays = true, last = false;
};

class Wishes {
public:
    void add(Wish wish)
    {
        std::unique_lock hold(lock_);
        room_.wait(hold, [this] { return queue_.size() < 32; });
        queue_.push(wish);
        some_.notify_one();
    }
    Wish next()
    {
        std::unique_lock hold(lock_);
        some_.wait(hold, [this] { return !queue_.empty(); });
        Wish wish = queue_.front();
        queue_.pop();
        room_.notify_one();
        return wish;
    }

private:
    std::mutex lock_;
    std::condition_variable some_, room_;
    std::queue<Wish> queue_;
};

class Viewers {
public:
    static inline Book shares;
    void share(const raster::Tile &tile, bool stays)
    {
        int fd = ::memfd_create("tile", MFD_CLOEXEC); // LAB:share
        if (fd < 0) return;
        shares.get();
        if (::write(fd, tile.pixels(), 4096) < 0 || !deliver(fd, stays)) return;
        ::close(fd);
        shares.put();
    }

private:
    bool deliver(int, bool stays)
    {
        if (!stays) {
            shares.leaked++;
            return false;
        }
        return ++delivered_ > 0;
    }
    unsigned delivered_ = 0;
};

static void day(Wishes &wishes, unsigned seed)
{
    std::mt19937 random(seed);
    std::geometric_distribution<unsigned> popular(0.03);
    std::bernoulli_distribution shared(0.5), goes(1 / 36.0);
    for (int n = 0; n < 4200; n++) {
        Wish wish;
        wish.tile = popular(random) % 160;
        wish.shared = shared(random);
        wish.viewer_stays = !goes(random);
        wishes.add(wish);
        std::this_thread::sleep_for(std::chrono::microseconds(2800 + random() % 1600));
    }
    wishes.add({.last = true});
}

static void render(Wishes &wishes, std::ranlux24 random)
{
    raster::Glyphs glyphs;
    raster::Atlas atlas;
    Viewers viewers;
    unsigned pages = 0;
    for (Wish wish = wishes.next(); !wish.last; wish = wishes.next()) {
        try {
            auto shapes = raster::load("tile." + std::to_string(wish.tile));
            for (unsigned n = random() % 8; n > 0; n--) shapes.push_back(1 + random() % 9000);
            if (random() % 20 == 0) shapes.push_back(0);
            auto tile = raster::paint(shapes, glyphs);
            if (wish.shared) viewers.share(*tile, wish.viewer_stays);
            if (random() % 2 == 0) atlas.page(pages++, random() % 32 == 0);
        } catch (const raster::BadShape &error) {
            std::clog << "tile " << wish.tile << ": " << error.what() << '\n';
        }
    }
}

static void tell(const char *site, const Book &book, std::size_t unit = 0)
{
    std::cout << R"({"site": ")" << site << R"(", "acquired": )" << book.acquired << R"(, "live": )" << book.live
              << R"(, "leaked": )" << book.leaked;
    if (unit) std::cout << R"(, "bytes": )" << book.live * static_cast<long>(unit);
    std::cout << "}\n";
}

int main(int, char **argv)
{
    const unsigned seed = argv[1] ? static_cast<unsigned>(std::atoi(argv[1])) : 1;
    std::mt19937 random(7);
    for (int tile = 0; tile < 160; tile++) {
        std::ofstream out("tile." + std::to_string(tile));
        for (int n = 0; n < 12; n++) out << 1 + random() % 300 << ' ';
    }
    std::string line;
    std::cout << "START" << std::endl;
    if (!std::getline(std::cin, line)) return 1;
    {
        Wishes wishes;
        std::jthread generator([&] { day(wishes, seed); });
        std::ranlux24 own(seed + 1000);
        std::jthread painter([&] { render(wishes, own); });
    }
    std::cout << "DONE\n";
    tell("canvas", raster::canvas, raster::Canvas);
    tell("share", Viewers::shares);
    tell("atlas", raster::atlas);
    tell("source", raster::source);
    tell("glyph", raster::glyph, raster::GlyphBytes);
    std::cout.flush();
    std::getline(std::cin, line);
    std::_Exit(0);
}
