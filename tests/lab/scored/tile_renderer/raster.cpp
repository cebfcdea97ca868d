#include "raster.hpp"
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <sys/mman.h>
#include <unistd.h>

namespace raster {

Book canvas, source, glyph, atlas;

std::vector<unsigned> load(const std::string &path)
{
    std::ifstream in(path); // LAB:source
    source.get();
    std::vector<unsigned> shapes;
    for (unsigned shape; in >> shape;) shapes.push_back(shape);
    source.put();
    return shapes;
}

unsigned char *Glyphs::get(unsigned code, unsigned victim)
{
    for (auto &[known, bitmap] : known_)
        if (known == code) return bitmap;
    auto *bitmap = new unsigned char[GlyphBytes]; // LAB:glyph
    glyph.get();
    std::memset(bitmap, static_cast<int>(code), GlyphBytes);
    if (known_.size() < 600) {
        known_.emplace_back(code, bitmap);
    } else {
        auto &place = known_[victim % known_.size()];
        delete[] place.second;
        glyph.put();
        place = {code, bitmap};
    }
    return bitmap;
}

std::unique_ptr<Tile> paint(const std::vector<unsigned> &shapes, Glyphs &glyphs)
{
    auto *pixels = new unsigned char[Canvas]; // LAB:canvas
    canvas.get();
    std::memset(pixels, 0xff, Canvas);
    for (unsigned shape : shapes) {
        if (shape == 0) {
            canvas.leaked++;
            throw BadShape("a polygon of no points");
        }
        std::memcpy(pixels + shape * 64 % (Canvas - 64), glyphs.get(shape % 900, shape), 64);
    }
    return std::make_unique<Tile>(pixels);
}

void Atlas::page(unsigned serial, bool unlink_only)
{
    const std::string name = "/lab-atlas-" + std::to_string(::getpid()) + "-" + std::to_string(serial);
    int fd = ::shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600); // LAB:atlas
    if (fd < 0) return;
    atlas.get();
    if (::write(fd, "page", 4) < 0) throw BadShape("no room for a page");
    ::shm_unlink(name.c_str());
    if (unlink_only) {
        atlas.leaked++;
        return;
    }
    ::close(fd);
    atlas.put();
}

} // namespace raster
