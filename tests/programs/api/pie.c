// build: -fPIE -pie
#include "calls.h"

int main(void)
{
    use_the_api();
    return 0;
}
