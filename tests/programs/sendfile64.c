#include "used.h"
#include <sys/sendfile.h>
#define SYMBOL sendfile64
#include "sendfile.c"
