// plugin: plugin_deep.c
#include "../row.h"
#include <dlfcn.h>

/* A library that looks for symbols in itself first, loaded and unloaded again and again. */
int main(int count, char **arguments) {
  (void)count;
  for (int i = 0; i < 5; i++) {
    void *library = POINTER(dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND));
    int (*opens)(void) = (int (*)(void))dlsym(library, "plugin_opens");
    int (*closes)(int) = (int (*)(int))dlsym(library, "plugin_closes");
    int fd = CALL(opens());
    CALL(closes(fd));
    fd = CALL(opens());
    CALL(close(fd));
    CALL(closes(open("/dev/null", O_RDONLY)));
    CALL(dlclose(library));
  }
  return 0;
}
