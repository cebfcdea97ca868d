/* linked: a program that is linked with libpython and has its own copies of some of its types. */
#include <Python.h>

int main(void)
{
    Py_InitializeEx(0);
    int failed = PyRun_SimpleString("import os\n"
                                    "def inside():\n"
                                    "    return os.open('/etc/hostname', os.O_RDONLY)\n"
                                    "for _ in range(5): inside()\n");
    PyObject *text = PyUnicode_FromString("x");
    return failed || !PyUnicode_CheckExact(text) || PyBytes_CheckExact(text) || PyCode_Check(text);
}
