// As service.c, with descriptors that C code opens: Go's own calls do not pass libc.
package main

/*
#cgo CFLAGS: -g -O1
#include <fcntl.h>
#include <unistd.h>

static int read_config(void) { return open("/etc/hostname", O_RDONLY | O_CLOEXEC); }

__attribute__((noinline)) static int leaky(void) {
    int fd = read_config(); // leaks here
    return fd + 1;
}

__attribute__((noinline)) static int healthy(void) {
    int fd = read_config();
    return close(fd);
}
*/
import "C"
import (
	"os"
	"syscall"
)

func main() {
	isClean := len(os.Args) > 1 && os.Args[1] == "clean"
	for i := 0; i < 40; i++ {
		fd := C.leaky() - 1
		if isClean {
			C.close(fd)
		}
		C.healthy()
	}
	syscall.Exit(0)
}
