#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

struct Book {
    long acquired = 0, live = 0, leaked = 0;
    void get() { ++acquired, ++live; }
    void put() { --live; }
};

namespace raster {

constexpr std::size_t Canvas = 128 * 1024;
constexpr std::size_t GlyphBytes = 3000;

extern Book canvas, source, glyph, atlas;

struct BadShape : std::runtime_error { using std::runtime_error::runtime_error; };

/** A tile's pixels; deletes them. */
class Tile {
public:
    explicit Tile(unsigned char *pixels) : pixels_(pixels) {}
    ~Tile()
    {
        delete[] pixels_;
        canvas.put();
    }
    Tile(const Tile &) = delete;
    Tile &operator=(const Tile &) = delete;
    const unsigned char *pixels() const { return pixels_; }

private:
    unsigned char *pixels_;
};

class Glyphs {
public:
    unsigned char *get(unsigned code, unsigned victim);

private:
    std::vector<std::pair<unsigned, unsigned char *>> known_;
};

/** Pages of glyphs that other processes may map. */
class Atlas {
public:
    void page(unsigned serial, bool unlink_only);
};

std::vector<unsigned> load(const std::string &path);
std::unique_ptr<Tile> paint(const std::vector<unsigned> &shapes, Glyphs &glyphs);

} // namespace raster
