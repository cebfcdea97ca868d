// build: -O2 -ldl
// Exceptions (handlers, destructors while one flies, rethrow), std::function, algorithms, virtual calls.
#include "compare.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#define NOINLINE __attribute__((noinline))

static volatile int sink;

struct Looks {
    const char *where;
    NOINLINE ~Looks() { compare(where); }
};
NOINLINE static int throws(int n) {
    Looks looks{"destructor while an exception flies"};
    if (n == 0) throw std::runtime_error("at the bottom");
    int r = throws(n - 1);
    sink = sink + 1;
    return r;
}
NOINLINE static int catches(int n) {
    try {
        return throws(n);
    } catch (const std::runtime_error &error) {
        compare("handler");
        try {
            throw std::logic_error(std::string("second: ") + error.what());
        } catch (...) {
            compare("handler in a handler");
            if (n > 3) throw;
        }
    }
    return n;
}

struct Shape {
    virtual ~Shape() { compare("virtual destructor"); }
    virtual int area(int) const = 0;
};
struct Square : Shape {
    NOINLINE int area(int n) const override {
        std::function<int(int)> inner = [n](int m) {
            std::vector<int> numbers(m, n);
            std::for_each(numbers.begin(), numbers.end(), [](int &x) { x += compare("lambda in an algorithm"); });
            return static_cast<int>(numbers.size());
        };
        return std::invoke(inner, 3);
    }
};

int main() {
    if (!probe_start()) return 2;
    compare("main");
    for (int n = 0; n < 6; n++) {
        try {
            catches(n);
        } catch (const std::logic_error &) {
            compare("after a rethrow");
        }
    }
    std::map<int, std::function<int(int)>> table;
    std::unique_ptr<Shape> shape = std::make_unique<Square>();
    for (int i = 0; i < 4; i++)
        table[i] = [&, i](int n) { return shape->area(n + i) + (n > 0 ? table[(i + 1) % 4](n - 1) : 0); };
    sink = table[0](6);
    std::vector<std::string> words = {"delta", "alpha", "charlie", "bravo"};
    std::sort(words.begin(), words.end(), [](const std::string &a, const std::string &b) {
        compare("comparator");
        return a < b;
    });
    std::thread([] { compare("std::thread"); }).join();
    shape.reset();
    return finish();
}
