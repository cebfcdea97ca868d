// Needs operator new, and one descriptor so that there is something to tell.
#include <fcntl.h>
#include <vector>

int main()
{
    std::vector<int> numbers(1000);
    return open("/dev/null", O_RDONLY) < 0 || numbers.size() != 1000;
}
