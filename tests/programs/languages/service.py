"""As service.c: files that a list keeps, and files that a with block closes."""

import sys

kept = []


def read_config():
    return open("/etc/hostname")


def leaky(is_clean):
    file = read_config()  # leaks here
    if is_clean:
        file.close()
    else:
        kept.append(file)


def healthy():
    with read_config() as file:
        file.read()


def main():
    is_clean = sys.argv[1:] == ["clean"]
    for _ in range(40):
        leaky(is_clean)
        healthy()
    # The interpreter would close what it still can reach.
    sys.stdout.flush()
    __import__("os")._exit(0)


main()
