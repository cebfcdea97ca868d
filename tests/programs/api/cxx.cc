#include "calls.h"

int main()
{
    use_the_api();
    return 0;
}
