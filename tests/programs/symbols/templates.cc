// part: calls through templates, members, lambdas and the standard library.
#include <functional>
#include <vector>

extern "C" void dump_stack(void);

namespace pool {
template <typename T> struct Pool {
    __attribute__((noinline)) void grow(T)
    {
        dump_stack(); // line: grow
        __asm__ volatile("");
    }
};
} // namespace pool

__attribute__((noinline)) static void each(const std::function<void(int)> &f)
{
    f(1); // line: each
    __asm__ volatile("");
}

int main()
{
    pool::Pool<std::vector<int>> pool;
    each([&](int i) __attribute__((noinline)) {
        pool.grow(std::vector<int>(i)); // line: lambda
    });
    return 0;
}
