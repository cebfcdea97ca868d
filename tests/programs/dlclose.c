// plugin: plugin.c
#include "row.h"
#include <dlfcn.h>

int main(int count, char **arguments) {
  (void)count;
  void *library = POINTER(dlopen(arguments[1], RTLD_NOW));
  int (*opens)(void) = (int (*)(void))dlsym(library, "plugin_opens");
  CALL(opens());
  CALL(dlclose(library));
  SAY(dlopen(arguments[1], RTLD_NOW | RTLD_NOLOAD) == NULL);
  library = POINTER(dlopen(arguments[1], RTLD_NOW));
  CALL(dlclose(library));
  library = POINTER(dlopen("libm.so.6", RTLD_LAZY));
  CALL(dlclose(library));
  SAY(dlclose(dlopen(0, RTLD_NOW)));
  return 0;
}
