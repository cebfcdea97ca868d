/* embed LIBPYTHON: opens an interpreter's library, runs a program in it, ends it and closes the library, three times. Prints
 * whether the library was still there after each time. */
#include <dlfcn.h>
#include <stdio.h>

static const char PROGRAM[] = "import os\n"
                              "def inside():\n"
                              "    return os.open('/etc/hostname', os.O_RDONLY)\n"
                              "for _ in range(5): inside()\n";

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    for (int round = 0; round < 3; round++) {
        void *python = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
        if (!python)
            return 3;
        void (*begin)(int) = (void (*)(int))dlsym(python, "Py_InitializeEx");
        int (*run)(const char *) = (int (*)(const char *))dlsym(python, "PyRun_SimpleString");
        int (*end)(void) = (int (*)(void))dlsym(python, "Py_FinalizeEx");
        begin(0);
        int failed = run(PROGRAM);
        if (end() || failed)
            return 4;
        dlclose(python);
        void *still = dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD);
        puts(still ? "there" : "gone");
        if (still)
            dlclose(still);
    }
    return 0;
}
