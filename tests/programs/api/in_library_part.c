// part of in_library.c: the API used in a shared object.
#include "calls.h"

void from_library(void)
{
    use_the_api();
}
