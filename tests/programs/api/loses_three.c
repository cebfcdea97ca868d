/* Acquires 20000 sessions and releases all but three. */
#include "../../../shim/include/resshim.h"

static void serve(uint64_t number)
{
    resshim_acquire("session", number, "somebody");
    resshim_state("session", number, "busy");
    if (number % 7000 != 6999)
        resshim_release("session", number);
}

int main(void)
{
    for (uint64_t number = 0; number < 21000; number++)
        serve(number);
    return 0;
}
